package main

import (
	"fmt"
	"io"
	"math"
	"text/tabwriter"
)

// row is what was measured, a figure for each run. A row without floor has
// nothing to be compared with.
type row struct {
	name    string
	unit    string
	floor   []float64
	subject []float64
}

type table []row

// print writes it as Markdown. The subject is what was measured against floor.
func (t table) print(w io.Writer, subject string) error {
	columns := tabwriter.NewWriter(w, 0, 0, 1, ' ', tabwriter.TabIndent|tabwriter.DiscardEmptyColumns)
	fmt.Fprintf(columns, "| \t| floor\t| %s\t| ratio\t| spread\t| runs\t|\n", subject)
	fmt.Fprintln(columns, "| ---\t| ---\t| ---\t| ---\t| ---\t| ---\t|")
	for _, r := range t {
		fmt.Fprintf(columns, "| %s\t| %s\t| %s\t| %s\t| %s\t| %d\t|\n",
			r.name, figure(median(r.floor), r.unit), figure(median(r.subject), r.unit),
			figure(median(r.subject)/median(r.floor), ""), r.spread(), len(r.subject))
	}
	return columns.Flush()
}

// spread is the least and the greatest ratio of two figures of the same run.
func (r row) spread() string {
	if len(r.floor) < 2 {
		return "–"
	}
	least, greatest := math.Inf(1), math.Inf(-1)
	for i := range r.floor {
		ratio := r.subject[i] / r.floor[i]
		least, greatest = min(least, ratio), max(greatest, ratio)
	}
	return figure(least, "") + "–" + figure(greatest, "")
}

// figure has three digits that count, and is a dash when it is not known.
func figure(f float64, unit string) string {
	if math.IsNaN(f) {
		return "–"
	}
	decimals := 0
	for limit := 100.0; decimals < 2 && math.Abs(f) < limit && f != math.Trunc(f); limit /= 10 {
		decimals++
	}
	text := fmt.Sprintf("%.*f", decimals, f)
	if unit == "" {
		return text
	}
	return text + " " + unit
}
