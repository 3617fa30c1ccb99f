package document

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// FromJSON is the only value in a JSON text.
func FromJSON(text []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, jsonError(text, err)
	}
	end := d.InputOffset()
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		rest := bytes.TrimLeft(text[end:], " \t\r\n")
		return nil, fmt.Errorf("line %d: text behind the end of the JSON document", lineAt(text, len(text)-len(rest)))
	}
	return Exact(v), nil
}

// jsonError is an error of the decoder with its line.
func jsonError(text []byte, err error) error {
	var syntax *json.SyntaxError
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("unexpected end of JSON input")
	case errors.As(err, &syntax):
		return fmt.Errorf("line %d: %w", lineAt(text, int(syntax.Offset)-1), err)
	}
	return err
}

func lineAt(text []byte, at int) int {
	return 1 + bytes.Count(text[:max(0, min(at, len(text)))], []byte("\n"))
}

// Exact replaces each [json.Number] in what a decoder gave by an int64 or a float64,
// unless neither can have its value. Maps and lists stay what they are.
func Exact(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, value := range v {
			v[k] = Exact(value)
		}
	case []any:
		for i, value := range v {
			v[i] = Exact(value)
		}
	case json.Number:
		return number(v)
	}
	return v
}

func number(n json.Number) any {
	if i, err := n.Int64(); err == nil {
		return i
	}
	if IsWhole(string(n)) {
		return n
	}
	if f, err := n.Float64(); err == nil {
		return f
	}
	return n
}

// IsWhole says whether a text is nothing but digits, perhaps with a sign.
func IsWhole(text string) bool {
	if text != "" && (text[0] == '-' || text[0] == '+') {
		text = text[1:]
	}
	return text != "" && strings.Trim(text, "0123456789") == ""
}

// wholeNumber is the int64 of a text that [IsWhole], or a [json.Number].
func wholeNumber(text string) any {
	text = strings.TrimPrefix(text, "+")
	if i, err := strconv.ParseInt(text, 10, 64); err == nil {
		return i
	}
	sign := ""
	if strings.HasPrefix(text, "-") {
		sign, text = "-", text[1:]
	}
	return json.Number(sign + strings.TrimLeft(text, "0"))
}
