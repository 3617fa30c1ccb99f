package document

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"strconv"
)

// Text is what a file of text holds: without the byte order mark that some editors put in
// front. UTF-16 is an error.
func Text(content []byte) ([]byte, error) {
	for _, mark := range []string{"\xff\xfe", "\xfe\xff"} {
		if bytes.HasPrefix(content, []byte(mark)) {
			return nil, errors.New("the text is UTF-16: save the file as UTF-8")
		}
	}
	return bytes.TrimPrefix(content, []byte("\xef\xbb\xbf")), nil
}

// Lossless is a copy of a value that package json encodes so that [FromJSON] gives the
// same: a float64 without a fraction gets an exponent.
func Lossless(v any) any {
	switch v := v.(type) {
	case map[string]any:
		fields := make(map[string]any, len(v))
		for k, element := range v {
			fields[k] = Lossless(element)
		}
		return fields
	case []any:
		all := make([]any, len(v))
		for i, element := range v {
			all[i] = Lossless(element)
		}
		return all
	case float64:
		if v == math.Trunc(v) && !math.IsInf(v, 0) {
			return json.Number(strconv.FormatFloat(v, 'e', -1, 64))
		}
	}
	return v
}

// AsOnServer replaces each float64 without a fraction by an int64, in maps and lists as they
// are. An API server does not tell 5.0 from 5.
func AsOnServer(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, element := range v {
			v[k] = AsOnServer(element)
		}
	case []any:
		for i, element := range v {
			v[i] = AsOnServer(element)
		}
	case float64:
		if v == math.Trunc(v) && v >= math.MinInt64 && v < math.MaxInt64 {
			return int64(v)
		}
	}
	return v
}
