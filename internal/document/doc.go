// Package document reads and writes YAML and JSON without rounding whole numbers.
//
// The decoders of YAML and JSON make a float64 of a number when nothing says
// otherwise: 16777216 prints as 1.6777216e+07 then, and 9007199254740993 loses its
// last digit. Here
//
//   - a whole number is an int64, or a [json.Number] when it does not fit;
//   - a number with a fraction or an exponent is a float64, or a [json.Number] when
//     it is larger than a float64 can be;
//   - maps have keys of type string, as in JSON, and lists are []any.
package document
