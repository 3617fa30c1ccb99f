package render

import (
	"fmt"
	"strings"

	"github.com/kconfd/kconfd/internal/limits"
)

// A hostileCase is a template with data that asks for more than there is. A
// template takes its numbers and texts from data, as from a ConfigMap. A new
// input is one line.
type hostileCase struct {
	text  string
	limit string // that is exceeded; "error" for any error, "" for whatever ends well
}

// hostileData are the values of the ConfigMap that the cases name.
func hostileData() map[string]any {
	strings1M := strings.Repeat("x", 1<<20)
	return map[string]any{
		"huge": 2_000_000_000, "max": 1<<63 - 1, "min": -1 << 63, "neg": -1, "zero": 0, "million": 1_000_000,
		"text": strings1M, "lines": strings.Repeat("\n", 1<<20), "words": strings.Repeat("a ", 1<<19), "blanks": strings.Repeat(" ", 1<<20),
		"self": `{{ tpl . . }}`, "include": `{{ include "inc" . }}`, "template": `{{ template "tem" . }}`,
		"ifs":         strings.Repeat("{{if 1}}", 100_000),
		"closed":      strings.Repeat("{{if 1}}", 60_000) + strings.Repeat("{{end}}", 60_000),
		"elseifs":     "{{if 0}}" + strings.Repeat("{{else if 0}}", 60_000) + "{{end}}",
		"trimmed":     strings.Repeat("{{- with 1 -}}", 60_000),
		"parens":      "{{ " + strings.Repeat("(", 500_000) + " }}",
		"parens9k":    "{{ " + strings.Repeat("(", 9_900) + "1" + strings.Repeat(")", 9_900) + " }}",
		"questions":   "{{ if .no }}{{ end }}{{ if " + strings.Repeat("(default (.no.no).no ", 3_000) + "1" + strings.Repeat(")", 3_000) + " }}x{{ end }}",
		"askedChain":  "{{ if .no }}{{ end }}{{ if $" + strings.Repeat(".a", 400_000) + " }}{{ end }}",
		"fromAnother": numberedLines("{{ $x%[1]d := .no }}{{ if $x%[1]d }}{{ end }}", 1_000),
		"chain":       "{{ $x := 1 }}{{ $x" + strings.Repeat(".a", 400_000) + " }}",
		"pipes":       "{{ 1 " + strings.Repeat("| add 1 ", 100_000) + "}}",
		"args":        "{{ list " + strings.Repeat("1 ", 400_000) + "| len }}",
		"mulf":        "{{ mulf " + strings.Repeat("1e300 ", 150_000) + "}}",
		"word":        "{{ " + strings.Repeat("a", 1<<20) + " }}",
		"vars":        strings.Repeat("{{$a:=1}}", 20_000) + strings.Repeat("{{$a}}", 20_000),
		"hashes":      strings.Repeat("{{$x:=sha512sum .t}}", 20_000),
		"jsonDeep":    strings.Repeat("[", 5_000) + strings.Repeat("]", 5_000),
		"jsonMaps":    strings.Repeat(`{"a":`, 5_000) + "1" + strings.Repeat("}", 5_000),
		"jsonOpen":    strings.Repeat("[", 1<<20),
		"jsonWide":    "[" + strings.Repeat("1,", 5_000_000) + "1]",
		"yamlDeep":    strings.Repeat("[", 1<<20),
		"yamlFlow":    "a: " + strings.Repeat("[", 5_000) + strings.Repeat("]", 5_000),
		"yamlWide":    "[" + strings.Repeat("1,", 500_000) + "1]",
		"yamlBlock":   nestedBlocks(2000),
		"laughs":      billionLaughs(),
		"bigAlias":    "a: &a " + strings.Repeat("x", 500_000) + "\nb: [" + strings.Repeat("*a,", 100_000) + "]",
		"selfAlias":   "a: &a [*a]",
		"mergeKeys":   "a: &a {x: 1}\nb: &b {<<: *a}\nc: {<<: *b}",
		"tomlDeep":    "a = " + strings.Repeat("[", 1<<20),
		"tomlMaps":    "a = " + strings.Repeat("{a=", 1<<19),
		"tomlDots":    strings.Repeat("a.", 500_000) + "a = 1",
		"tomlHead":    "[" + strings.Repeat("a.", 500_000) + "a]",
		"tomlKeys":    numberedLines("k%d = 1\n", 100_000),
		"regexBig":    strings.Repeat(".{1000}", 3_000),
		"regexDeep":   strings.Repeat("(", 100_000) + strings.Repeat(")", 100_000),
		"regexSlow":   "(x?){500}y",
		"regexOpen":   "a.*b|a|x.*y|x",
		"regexMany":   "(?:(x?){1000}y|x)",
		"manyVars":    numberedLines("{{$v%d:=1}}", 30_000) + strings.Repeat("{{$v1}}", 60_000),
		"constraint":  strings.Repeat(">=1 || ", 100_000),
		"format":      strings.Repeat("%1000000d", 1000),
		"precision":   strings.Repeat("%.1000000f", 1000),
		"indexed":     strings.Repeat("%[1]s", 1000),
		"url":         "http://" + strings.Repeat("a", 1<<20) + "%zz",
	}
}

func nestedBlocks(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	return b.String()
}

func billionLaughs() string {
	text := "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n"
	for i := range 12 {
		text += fmt.Sprintf("a%d: &a%d [%s*a%d]\n", i+1, i+1, strings.Repeat(fmt.Sprintf("*a%d,", i), 9), i)
	}
	return text
}

func numberedLines(format string, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

const hostilePartial = `{{define "inc"}}{{ tpl .include . }}{{end}}{{define "tem"}}{{ tpl .template . }}{{end}}` +
	`{{define "all"}}{{if .n}}{{template "all" .}}{{end}}{{include "all2" .}}{{end}}{{define "all2"}}{{ tpl "{{ template \"all\" . }}" . }}{{end}}` +
	`{{define "deepbody"}}{{if 1}}{{if 1}}{{if 1}}{{with .}}{{range list .}}{{template "deepbody" $}}{{end}}{{end}}{{end}}{{end}}{{end}}{{end}}`

func hostileCases() map[string]hostileCase {
	const (
		cyclic   = `{{ $d := dict }}{{ $_ := set $d "d" $d }}`
		cyclicL  = `{{ $d := dict }}{{ $l := list $d }}{{ $_ := set $d "l" $l }}`
		deep     = `{{ $d := list }}{{ range until 90000 }}{{ $d = list $d }}{{ end }}`
		deepMap  = `{{ $d := dict }}{{ range until 90000 }}{{ $d = dict "a" $d }}{{ end }}`
		doubled  = `{{ $d := list "x" }}{{ range until 40 }}{{ $d = list $d $d }}{{ end }}`
		doubledM = `{{ $d := dict "a" "x" }}{{ range until 40 }}{{ $d = dict "a" $d "b" $d }}{{ end }}`
	)
	cases := map[string]hostileCase{
		// Recursion of all kinds.
		"tpl of itself":                {`{{ tpl .self .self }}`, limits.Depth},
		"tpl, include":                 {`{{ tpl .include . }}`, limits.Depth},
		"tpl, template":                {`{{ tpl .template . }}`, limits.Depth},
		"template of itself":           {`{{define "a"}}{{template "a" .}}{{end}}{{template "a" .}}`, limits.Depth},
		"template with a text":         {`{{define "a"}}x{{template "a" .}}y{{end}}{{template "a" .}}`, limits.Depth},
		"all three":                    {`{{ template "all" (dict "n" 0) }}`, limits.Depth},
		"template in deep blocks":      {`{{ template "deepbody" . }}`, limits.Depth},
		"two branches":                 {`{{define "a"}}{{template "a" .}}{{template "a" .}}{{end}}{{template "a" .}}`, limits.Depth},
		"a tree of 100 levels":         {`{{define "a"}}{{if gt (len .) 0}}{{template "a" (rest .)}}{{template "a" (rest .)}}{{end}}{{end}}{{template "a" (until 100)}}`, limits.Time},
		"define in tpl":                {`{{ tpl "{{define \"z\"}}{{template \"z\" .}}{{end}}{{template \"z\" .}}" . }}`, limits.Depth},
		"block in tpl":                 {`{{ tpl "{{block \"z\" .}}{{template \"z\" .}}{{end}}" . }}`, limits.Depth},
		"redefined in tpl":             {`{{ tpl "{{define \"inc\"}}{{template \"inc\" .}}{{end}}{{template \"inc\" .}}" . }}`, limits.Depth},
		"growing argument":             {`{{define "a"}}{{template "a" (printf "%s%s" . .)}}{{end}}{{template "a" "xxxxxxxx"}}`, limits.Value},
		"unclosed ifs":                 {`{{ tpl .ifs . }}`, limits.Depth},
		"nested ifs":                   {`{{ tpl .closed . }}`, limits.Depth},
		"else-ifs":                     {`{{ tpl .elseifs . }}`, limits.Depth},
		"trimmed withs":                {`{{ tpl .trimmed . }}`, limits.Depth},
		"parentheses":                  {`{{ tpl .parens . }}`, limits.Depth},
		"as many parentheses as parse": {`{{ tpl .parens9k . }}`, ""},
		"a chain of fields":            {`{{ tpl .chain . }}`, "error"},
		"a long pipeline":              {`{{ tpl .pipes . }}`, ""},
		"many arguments":               {`{{ tpl .args . }}`, ""},
		"many decimals":                {`{{ tpl .mulf . }}`, "error"},
		"a long word":                  {`{{ tpl .word . }}`, "error"},
		"many variables":               {`{{ tpl .vars . }}`, ""},
		"slow calls in a row":          {`{{ tpl .hashes (dict "t" .text) }}`, limits.Time},
		"a large tpl":                  {`{{ tpl (printf "%s%s" .text .text) . }}`, limits.Value},

		// Counts.
		"until":                {`{{ until .huge | len }}`, limits.Elements},
		"until the largest":    {`{{ until .max | len }}`, limits.Elements},
		"until the smallest":   {`{{ until .min | len }}`, limits.Elements},
		"untilStep 0":          {`{{ untilStep 0 .huge 0 | len }}`, ""},
		"untilStep backwards":  {`{{ untilStep 0 .huge -1 | len }}`, ""},
		"untilStep over":       {`{{ untilStep 0 .max 9223372036854775806 | len }}`, ""},
		"untilStep down over":  {`{{ untilStep 0 .min -9223372036854775807 | len }}`, ""},
		"untilStep from end":   {`{{ untilStep .min .max 1 | len }}`, limits.Elements},
		"untilStep by min":     {`{{ untilStep .max .min .min | len }}`, ""},
		"seq":                  {`{{ seq .huge }}`, limits.Elements},
		"seq of two":           {`{{ seq .min .max }}`, limits.Elements},
		"seq of three":         {`{{ seq 0 1 .huge }}`, limits.Elements},
		"seq by 0":             {`{{ seq 0 0 .huge }}`, ""},
		"seq down":             {`{{ seq 0 -1 .min }}`, limits.Elements},
		"range of a number":    {`{{ range .huge }}{{ end }}`, limits.Iterations},
		"range with a text":    {`{{ range .huge }}x{{ end }}`, limits.Iterations},
		"range with a number":  {`{{ range $i := .huge }}{{ $i }}{{ end }}`, limits.Iterations},
		"range with continue":  {`{{ range .max }}{{ continue }}x{{ end }}`, limits.Iterations},
		"range with if":        {`{{ range .max }}{{ if false }}x{{ end }}{{ end }}`, limits.Iterations},
		"range with break":     {`{{ range .max }}{{ break }}{{ end }}`, ""},
		"range with a var":     {`{{ $x := 0 }}{{ range .huge }}{{ $x = add $x 1 }}{{ end }}`, limits.Iterations},
		"ranges within ranges": {`{{ range .million }}{{ range $.million }}{{ range $.million }}{{ end }}{{ end }}{{ end }}`, limits.Iterations},
		"range within plain":   {`{{ range until 1000000 }}{{ range until 1000000 }}x{{ end }}{{ end }}`, "error"},
		"range in tpl":         {`{{ tpl "{{ range .huge }}{{ end }}" . }}`, limits.Iterations},
		"range in include":     {`{{define "r"}}{{ range .huge }}{{ end }}{{end}}{{ include "r" . }}`, limits.Iterations},
		"range in else":        {`{{ range list }}{{ else }}{{ range .huge }}{{ end }}{{ end }}`, limits.Iterations},
		"range in with":        {`{{ with .huge }}{{ range . }}{{ end }}{{ else with 1 }}{{ end }}`, limits.Iterations},
		"concat doubling":      {`{{ $x := list 1 2 }}{{ range until 40 }}{{ $x = concat $x $x }}{{ end }}`, limits.Elements},
		"append without end":   {`{{ $x := list }}{{ range until 1000000 }}{{ $x = append $x . }}{{ end }}`, "error"},
		"prepend without end":  {`{{ $x := list }}{{ range until 1000000 }}{{ $x = prepend $x $x }}{{ end }}`, "error"},
		"lists that are kept":  {`{{ $x := list }}{{ range until 100000 }}{{ $x = append $x (until 10000) }}{{ end }}`, "error"},
		"texts that are kept":  {`{{ $x := list }}{{ range until 90000 }}{{ $x = append $x (repeat 100000 "x") }}{{ end }}`, limits.Memory},
		"copies that are kept": {`{{ $x := list }}{{ $t := until 100000 }}{{ range until 100000 }}{{ $x = append $x (deepCopy $t) }}{{ end }}`, "error"},
		"output that is kept":  {`{{define "o"}}{{ $.t }}{{ $.t }}{{ include "o" . }}{{end}}{{ include "o" (dict "t" (repeat 7 .text)) }}`, limits.Memory},
		"set without end":      {`{{ $d := dict }}{{ range $i := .huge }}{{ $_ := set $d (print $i) $i }}{{ end }}`, "error"},
		"splitList":            {`{{ splitList "" (repeat 4 .text) | len }}`, limits.Elements},
		"split":                {`{{ split "" (repeat 4 .text) | len }}`, limits.Elements},
		"splitn":               {`{{ splitn "" .huge (repeat 4 .text) | len }}`, limits.Elements},
		"regexFindAll":         {`{{ regexFindAll "" (repeat 4 .text) -1 | len }}`, "error"},
		"regexSplit":           {`{{ regexSplit "" (repeat 4 .text) -1 | len }}`, "error"},
		"chunk by 0":           {`{{ chunk 0 (list 1 2) }}`, "error"},
		"chunk by less":        {`{{ chunk .neg (list 1 2) }}`, "error"},
		"chunk by more":        {`{{ chunk .max (list 1 2) }}`, ""},
		"uniq":                 {`{{ until 1000000 | uniq | len }}`, limits.Time},
		"without":              {`{{ $l := until 1000000 }}{{ range $i := $l }}{{ $_ := without $l $i }}{{ end }}`, "error"},
		"has":                  {`{{ $l := until 1000000 }}{{ range $l }}{{ $_ := has -1 $l }}{{ end }}`, limits.Time},
		"sort":                 {`{{ $l := until 1000000 }}{{ range $l }}{{ $_ := sortAlpha $l }}{{ end }}`, limits.Time},

		// Sizes.
		"repeat":               {`{{ repeat .huge "x" }}`, limits.Value},
		"repeat the largest":   {`{{ repeat .max .text }}`, limits.Value},
		"repeat a little less": {`{{ repeat 17 .text }}`, limits.Value},
		"repeat -1":            {`{{ repeat .neg "x" }}`, "error"},
		"indent":               {`{{ indent .huge "x" }}`, limits.Value},
		"indent lines":         {`{{ indent 1000 .lines }}`, limits.Value},
		"indent -1":            {`{{ indent .neg "x" }}`, "error"},
		"nindent":              {`{{ nindent .max .lines }}`, limits.Value},
		"replace nothing":      {`{{ replace "" .text .text }}`, limits.Value},
		"replace":              {`{{ replace "x" .text .text }}`, limits.Value},
		"regexFindAll, long":   {`{{ regexFindAll .regexMany (repeat 4096 "x") -1 | len }}`, limits.Time},
		"regexSplit, long":     {`{{ regexSplit .regexMany (repeat 4096 "x") -1 | len }}`, limits.Time},
		"regexReplace, long":   {`{{ regexReplaceAll .regexMany (repeat 4096 "x") "y" | len }}`, limits.Time},
		"variables":            {`{{ tpl .manyVars . }}`, limits.Time},
		"sorted maps":          {`{{ $d := dict }}{{ range $i := until 50000 }}{{ $_ := set $d (print $i) 1 }}{{ end }}{{ range until 200 }}{{ range $k, $v := $d }}{{ break }}{{ end }}{{ end }}`, limits.Time},
		"regexReplaceAll":      {`{{ regexReplaceAll "x" .text .text }}`, limits.Value},
		"regexReplaceAll $":    {`{{ regexReplaceAll "^.*$" .text (repeat 1000 "$0") }}`, limits.Value},
		"regexReplaceLiteral":  {`{{ regexReplaceAllLiteral "" .text .text }}`, limits.Value},
		"join":                 {`{{ join .text (until 1000) }}`, limits.Value},
		"wrap":                 {`{{ wrap 1 .text | len }}`, ""},
		"wrap -1":              {`{{ wrap .min .text | len }}`, ""},
		"wrap the largest":     {`{{ wrap .max .text | len }}`, ""},
		"wrapWith":             {`{{ wrapWith 1 .text .text }}`, limits.Value},
		"wrapWith words":       {`{{ wrapWith 1000 .text .words }}`, limits.Value},
		"printf doubling":      {`{{ $s := "xx" }}{{ range until 40 }}{{ $s = printf "%s%s" $s $s }}{{ end }}`, limits.Value},
		"print doubling":       {`{{ $s := "xx" }}{{ range until 40 }}{{ $s = print $s $s }}{{ end }}`, limits.Value},
		"println doubling":     {`{{ $s := "xx" }}{{ range until 40 }}{{ $s = println $s $s }}{{ end }}`, limits.Value},
		"cat doubling":         {`{{ $s := "xx" }}{{ range until 40 }}{{ $s = cat $s $s }}{{ end }}`, limits.Value},
		"include doubling":     {`{{define "i"}}{{.}}{{.}}{{end}}{{ $s := "xx" }}{{ range until 40 }}{{ $s = include "i" $s }}{{ end }}`, limits.Value},
		"tpl doubling":         {`{{ $s := "xx" }}{{ range until 40 }}{{ $s = tpl "{{.}}{{.}}" $s }}{{ end }}`, limits.Value},
		"b64enc growing":       {`{{ $s := "xx" }}{{ range until 100 }}{{ $s = b64enc $s }}{{ end }}`, limits.Value},
		"b32enc growing":       {`{{ $s := "xx" }}{{ range until 100 }}{{ $s = b32enc $s }}{{ end }}`, limits.Value},
		"quote growing":        {`{{ $s := "\"" }}{{ range until 100 }}{{ $s = quote $s }}{{ end }}`, limits.Value},
		"html growing":         {`{{ $s := "&&" }}{{ range until 100 }}{{ $s = html $s $s }}{{ end }}`, limits.Value},
		"js growing":           {`{{ $s := "\\" }}{{ range until 100 }}{{ $s = js $s }}{{ end }}`, limits.Value},
		"urlquery growing":     {`{{ $s := "%" }}{{ range until 100 }}{{ $s = urlquery $s }}{{ end }}`, ""},
		"toJson growing":       {`{{ $s := "\"" }}{{ range until 100 }}{{ $s = toJson $s }}{{ end }}`, limits.Value},
		"toYaml growing":       {`{{ $s := "\"\t" }}{{ range until 100 }}{{ $s = toYaml (list $s $s) }}{{ end }}`, "error"},
		"toToml growing":       {`{{ $s := "'''" }}{{ range until 100 }}{{ $s = toToml (dict "a" $s "b" $s) }}{{ end }}`, "error"},
		"quotemeta growing":    {`{{ $s := "." }}{{ range until 100 }}{{ $s = regexQuoteMeta $s }}{{ end }}`, limits.Value},
		"dates growing":        {`{{ $t := toDate "2006-01-02" "2022-12-22" }}{{ $s := "2" }}{{ range until 100 }}{{ $s = $t.Format $s }}{{ end }}`, limits.Value},
		"dates growing, piped": {`{{ $t := toDate "2006-01-02" "2022-12-22" }}{{ $s := "2" }}{{ range until 100 }}{{ $s = $s | $t.Format }}{{ end }}`, limits.Value},
		"dates in arguments":   {`{{ $t := toDate "2006-01-02" "2022-12-22" }}{{ $s := "2" }}{{ range until 100 }}{{ $s = print ($t.Format $s) "" }}{{ end }}`, limits.Value},
		"width":                {`{{ printf "%1000000000d" 1 }}`, "error"},
		"many widths":          {`{{ printf .format 1 }}`, limits.Value},
		"many precisions":      {`{{ printf .precision 1.0 }}`, limits.Value},
		"a star":               {`{{ printf "%*d" .huge 1 }}`, "error"},
		"a width of a list":    {`{{ printf "%100000v" (until 1000) }}`, limits.Value},
		"one argument often":   {`{{ printf .indexed .text }}`, limits.Value},
		"hex of a list":        {`{{ printf "%x" (until 1000000) | len }}`, "error"},
		"output without end":   {`{{ range .huge }}{{ $.text }}{{ end }}`, limits.Output},
		"plain output":         {`{{ $t := .text }}{{ range until 1000 }}{{ $t }}{{ end }}`, limits.Output},
		"output of plain text": {`{{ range .huge }}` + strings.Repeat("x", 1000) + `{{ end }}`, limits.Output},

		// Values in values.
		"print a cycle":          {cyclic + `{{ $d }}`, limits.Depth},
		"print a mixed cycle":    {cyclicL + `{{ $l }}`, limits.Depth},
		"print a cycle by index": {cyclic + `{{ index $d "d" }}`, limits.Depth},
		"print a cycle by field": {cyclic + `{{ $d.d.d }}`, limits.Depth},
		"print a cycle by with":  {cyclic + `{{ with $d }}{{ . }}{{ end }}`, limits.Depth},
		"print a cycle in range": {cyclic + `{{ range $d }}{{ . }}{{ end }}`, limits.Depth},
		"print a cycle in tpl":   {cyclic + `{{ tpl "{{ . }}" $d }}`, limits.Depth},
		"a cycle made in tpl":    {`{{ $d := fromYaml "a: 1" }}{{ tpl "{{ $_ := set . \"d\" . }}" $d }}{{ $d }}`, limits.Depth},
		"a cycle by merge":       {`{{ $d := dict }}{{ $_ := merge $d (dict "d" $d) }}{{ $d | toJson }}`, limits.Depth},
		"a cycle of three":       {`{{ $a := dict }}{{ $b := dict "a" $a }}{{ $_ := set $a "c" (list (dict "b" $b)) }}{{ $a }}`, limits.Depth},
		"print deep":             {deep + `{{ $d }}`, limits.Depth},
		"print deep maps":        {deepMap + `{{ $d }}`, limits.Depth},
		"print doubled":          {doubled + `{{ $d }}`, limits.Value},
		"print doubled maps":     {doubledM + `{{ $d }}`, limits.Value},
		"fields of a cycle":      {cyclic + `{{ len $d.d.d.d }}`, ""},
		"eq of cycles":           {cyclic + `{{ eq $d $d }}`, "error"},
		"ne of cycles":           {cyclic + `{{ ne $d $d }}`, "error"},
		"eq of a cycle and 1":    {cyclic + `{{ eq $d 1 }}`, "error"},
		"gt of cycles":           {cyclic + `{{ gt $d $d }}`, "error"},
		"le of cycles":           {cyclic + `{{ le $d $d }}`, "error"},
		"index by a cycle":       {cyclic + `{{ index $d $d }}`, "error"},
		"call a cycle":           {cyclic + `{{ call $d }}`, "error"},
		"range a cycle by two":   {cyclic + `{{ range $k, $v := $d }}{{ $k }}{{ end }}`, ""},
		"if of a cycle":          {cyclic + `{{ if $d }}x{{ end }}`, ""},
		"template of a cycle":    {cyclic + `{{ template "inc" $d }}`, "error"},
		"merge cycles":           {cyclic + `{{ $e := dict }}{{ $_ := set $e "d" $e }}{{ merge $d $e | len }}`, limits.Depth},
		"dict by a cycle":        {cyclic + `{{ dict $d 1 }}`, limits.Depth},
		"without cycles":         {cyclic + `{{ without (list $d 1) $d | len }}`, limits.Depth},
		"uniq of cycles":         {cyclic + `{{ uniq (list $d $d) | len }}`, limits.Depth},
		"join a cycle":           {cyclic + `{{ join "," (list $d) }}`, limits.Depth},
		"required a cycle":       {cyclic + `{{ required "x" $d | len }}`, ""},
		"fail with a cycle":      {cyclic + `{{ fail (print $d) }}`, limits.Depth},

		// Text to values and back.
		"fromJson, deep":        {`{{ fromJsonArray .jsonDeep | len }}`, limits.Depth},
		"fromJson, deep maps":   {`{{ fromJson .jsonMaps | len }}`, limits.Depth},
		"mustFromJson, deep":    {`{{ mustFromJson .jsonDeep | len }}`, limits.Depth},
		"fromJson, open":        {`{{ fromJsonArray .jsonOpen }}`, "error"},
		"fromJson, wide":        {`{{ fromJsonArray .jsonWide | len }}`, limits.Memory},
		"fromYaml, deep":        {`{{ fromYamlArray .yamlDeep }}`, "error"},
		"fromYaml, flow":        {`{{ fromYaml .yamlFlow | len }}`, limits.Depth},
		"fromYaml, blocks":      {`{{ fromYaml .yamlBlock | len }}`, limits.Depth},
		"fromYaml, wide":        {`{{ fromYamlArray .yamlWide | len }}`, limits.Memory},
		"fromYaml, laughs":      {`{{ fromYaml .laughs | len }}`, "error"},
		"fromYaml, a big alias": {`{{ fromYaml .bigAlias | len }}`, limits.Memory},
		"fromYaml, itself":      {`{{ fromYaml .selfAlias | len }}`, "error"},
		"fromYaml, merge keys":  {`{{ fromYaml .mergeKeys | len }}`, ""},
		"fromToml, deep":        {`{{ fromToml .tomlDeep | len }}`, "error"},
		"fromToml, maps":        {`{{ fromToml .tomlMaps | len }}`, "error"},
		"fromToml, dots":        {`{{ fromToml .tomlDots | len }}`, "error"},
		"fromToml, a heading":   {`{{ fromToml .tomlHead | len }}`, "error"},
		"fromToml, many keys":   {`{{ fromToml .tomlKeys | len }}`, limits.Time},
		"toToml, long paths":    {`{{ $d := dict }}{{ range until 1000 }}{{ $_ := set $d (print .) (dict "a" 1) }}{{ end }}{{ toToml (dict .text $d) | len }}`, limits.Value},
		"toYamlPretty, many":    {`{{ until 1000000 | toYamlPretty | len }}`, limits.Memory},
		"toYamlPretty, text":    {`{{ toYamlPretty (dict "a" .text "b" .lines) | len }}`, ""},
		"json, deep":            {`{{ json .jsonMaps | len }}`, limits.Depth},
		"jsonArray, wide":       {`{{ jsonArray .jsonWide | len }}`, limits.Memory},
		"base64":                {`{{ base64Encode .text | base64Decode | len }}`, ""},
		"base64, growing":       {`{{ $s := .text }}{{ range until 20 }}{{ $s = base64Encode $s }}{{ end }}`, limits.Value},
		"base64 of text":        {`{{ base64Decode .words }}`, "error"},
		"parseBool of text":     {`{{ parseBool .text }}`, "error"},
		"getenv of text":        {`{{ getenv .text .text | len }}`, ""},
		"durations of texts":    {`{{ durationSeconds .text }}`, "error"},
		"durations, too long":   {`{{ durationSeconds .max }}`, "error"},
		"durations, the least":  {`{{ durationSeconds .min }}`, "error"},
		"durations, many texts": {`{{ range until 100000 }}{{ durationSeconds (print $.blanks 1) }}{{ end }}`, limits.Time},
		"toYaml, many":          {`{{ until 1000000 | toYaml | len }}`, limits.Memory},

		// Keys that are asked about.
		"a missing key, often":     {`{{ range until 1000000 }}{{ $.no | default 1 }}{{ end }}`, limits.Iterations},
		"a missing key of a cycle": {cyclic + `{{ if .no }}{{ end }}{{ $e := $d | default .no }}{{ print $e }}`, limits.Depth},
		"a method's result":        {`{{ if .no }}{{ end }}{{ $t := toDate "2006-01-02" "2022-12-22" }}{{ $s := "2" }}{{ range until 100 }}{{ $s = default "x" ($t.Format $s) }}{{ end }}`, limits.Value},
		"deep questions":           {`{{ tpl .questions . }}`, ""},
		"long chains, asked about": {`{{ tpl .askedChain . }}`, ""},
		"variables from another":   {`{{ tpl .fromAnother . }}`, ""},

		// Long single calls.
		"a large expression":     {`{{ regexMatch .regexBig .text }}`, limits.Memory},
		"a deep expression":      {`{{ mustRegexMatch .regexDeep .text }}`, "error"},
		"a slow expression":      {`{{ regexMatch .regexSlow .text }}`, limits.Time},
		"find all, quadratic":    {`{{ regexFindAll .regexOpen .text -1 | len }}`, limits.Time},
		"replace all, quadratic": {`{{ regexReplaceAll .regexOpen .text "" | len }}`, limits.Time},
		"split, quadratic":       {`{{ regexSplit .regexOpen .text -1 | len }}`, limits.Time},
		"derivePassword":         {`{{ range until 10000 }}{{ derivePassword 1 "long" "a" "b" "c" }}{{ end }}`, limits.Time},
		"semver":                 {`{{ semver (print "1.2.3-" .text) }}`, "error"},
		"semverCompare":          {`{{ semverCompare .constraint "1.2.3" }}`, "error"},
		"atoi":                   {`{{ atoi .text }}`, "error"},
		"toDate":                 {`{{ toDate .text .text }}`, ""},
		"mustToDate":             {`{{ mustToDate .text .text }}`, ""},
		"urlParse":               {`{{ urlParse .url }}`, "error"},
		"decryptAES of nothing":  {`{{ decryptAES "x" "eA==" }}`, "error"},
		"digits":                 {`{{ addf 1e308 1e308 1e-308 }}`, "error"},
		"b64dec":                 {`{{ b64dec .text | len }}`, ""},
		"a text in an error":     {`{{ fail .text }}`, "error"},

		// Odd arguments.
		"substr":          {`{{ substr 5 2 "abc" }}`, "error"},
		"substr -":        {`{{ substr -1 -1 "abc" }}`, "error"},
		"first of none":   {`{{ first list }}`, "error"},
		"first of nil":    {`{{ first nil }}`, "error"},
		"slice":           {`{{ slice (list 1) 5 2 }}`, "error"},
		"div 0":           {`{{ div 1 0 }}`, "error"},
		"mod 0":           {`{{ mod 1 0 }}`, "error"},
		"div min":         {`{{ div .min -1 }}`, "error"},
		"mul":             {`{{ mul .max .max }}`, "error"},
		"dig":             {`{{ dig 1 2 }}`, "error"},
		"dig deep":        {`{{ dig "a" "b" 1 (dict "a" 1) }}`, "error"},
		"abbrev":          {`{{ abbrev .huge "x" }}{{ abbrevboth .max .max "x" }}`, ""},
		"trunc":           {`{{ trunc .min "abc" }}`, ""},
		"round":           {`{{ round 1.5 .max }}`, ""},
		"plural":          {`{{ plural "a" "b" .max }}`, ""},
		"set of nil":      {`{{ set nil "a" 1 }}`, "error"},
		"nil everywhere":  {`{{ list nil | join "," }}{{ cat nil }}{{ quote nil }}{{ concat nil }}`, "error"},
		"a nil append":    {`{{ append nil 1 }}`, "error"},
		"merge nil":       {`{{ merge nil nil }}`, ""},
		"splitn -":        {`{{ splitn "," .min "a,b" }}`, ""},
		"unixEpoch":       {`{{ unixEpoch (toDate "x" "y") }}`, "error"},
		"method of a nil": {`{{ (index (dict) "a").Foo }}`, "error"},
		"atLeast":         {`{{ atLeast .max (list) }}`, "error"},
	}
	// Whatever looks into a value must not do so for ever.
	for _, call := range []string{
		"print $d", "printf `%v` $d", "printf `%#v` $d", "printf `%s` $d", "printf `%d` 1 $d", "printf `x` $d", "println $d", "html $d", "js $d", "urlquery $d",
		"toString $d", "quote $d", "squote $d", "cat $d", "toStrings (list $d)", "sortAlpha (list $d)", "join `,` $d", "toJson $d", "toPrettyJson $d", "toRawJson $d",
		"mustToJson $d", "mustToPrettyJson $d", "mustToRawJson $d", "toYaml $d", "toToml (dict `a` $d)", "deepCopy $d", "mustDeepCopy $d", "deepEqual $d $d", "has $d (list $d)",
		"mustHas 1 (list $d)", "uniq (list $d)", "without (list $d) 1", "toDecimal $d",
		"merge (dict) (dict `a` $d)", "mergeOverwrite (dict `a` $d) (dict)", "mustMerge (dict `a` $d) (dict)", "mustMergeOverwrite (dict) (dict `a` $d)",
		"mustToYaml $d", "toYamlPretty $d", "mustToToml (dict `a` $d)", "mustToDuration $d", "durationSeconds $d", "durationMilliseconds $d", "durationRoundTo $d 1", "durationTruncateTo 1 $d",
	} {
		cases["a cycle: "+call] = hostileCase{cyclic + "{{ $_ := " + call + " }}", limits.Depth}
		cases["deep: "+call] = hostileCase{`{{ $d := list }}{{ range until 250 }}{{ $d = list $d }}{{ end }}{{ $_ := ` + call + " }}", limits.Depth}
		cases["doubled: "+call] = hostileCase{doubled + "{{ $_ := " + call + " }}", limits.Value}
	}
	// Numbers are none of these, whatever is in them.
	for _, call := range []string{
		"int $d", "int64 $d", "float64 $d", "add $d 1", "add1 $d", "sub 1 $d", "mul $d 1", "mul 1 $d", "div $d 1", "max 1 $d", "min $d 1", "maxf 1 $d", "minf $d 1", "biggest $d",
		"addf $d 1", "add1f $d", "subf 1 $d", "mulf $d 1", "divf $d 1", "floor $d", "ceil $d", "round $d 1", "duration $d", "slice (list 1) $d", "hostPort `a` $d",
	} {
		cases["a cycle: "+call] = hostileCase{cyclic + "{{ $_ := " + call + " }}", "error"}
		cases["doubled: "+call] = hostileCase{doubled + "{{ $_ := " + call + " }}", "error"}
	}
	return cases
}
