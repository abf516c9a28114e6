package expand

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"rota.dev/rota/schema"
)

// Item is one expansion of a template.
type Item struct {
	// Number counts from 1.
	Number int
	// Values are in the order of the names that [Items] returns.
	Values []schema.Value
	// Origin is where the item was written: a line of items or of a CSV file,
	// the parameters of a matrix.
	Origin schema.Origin
}

// Parameters returns the item's values as an Origin has them; a list or a
// mapping is shown as "[…]".
func (i Item) Parameters() []schema.Parameter {
	parameters := make([]schema.Parameter, len(i.Values))
	for j, v := range i.Values {
		text := v.Text
		switch v.Data.(type) {
		case []any, map[string]any:
			text = "[…]"
		}
		parameters[j] = schema.Parameter{Name: v.Name, Value: text}
	}
	return parameters
}

// Items returns the names of an Expansion's parameters and the items in order.
// File is the content of spec.parameters.file, and filePath its path in the
// repository; both are unused otherwise. More than limit items are refused
// before they are made. Problems have their position.
func Items(e schema.Expansion, filePath string, file []byte, limit int, documents schema.DocumentLimits) (names []string, items []Item, err error) {
	p := e.Spec.Parameters
	switch {
	case p == nil:
		return nil, []Item{{Number: 1, Origin: e.Origin}}, nil
	case p.Matrix != nil:
		return matrix(e, limit)
	case p.File != "":
		lists, err := readFile(filePath, file, documents)
		if err != nil {
			return nil, nil, err
		}
		return ordered(lists, limit)
	default:
		return ordered(p.Items, limit)
	}
}

func tooMany(at schema.Origin, n, limit int) error {
	return &schema.Problem{Rule: "R004", Origin: at,
		Message: fmt.Sprintf("the parameters make %d items; at most %d are expanded", n, limit), Mend: "Use fewer values, split the Expansion, or raise spec.limits.items."}
}

func ordered(lists []schema.Values, limit int) (names []string, items []Item, err error) {
	if len(lists) > limit {
		return nil, nil, tooMany(lists[0].Origin, len(lists), limit)
	}
	var problems []error
	for i, list := range lists {
		if i == 0 {
			for _, v := range list.List {
				names = append(names, v.Name)
			}
		}
		values, err := order(names, list.List)
		if err != nil {
			problems = append(problems, &schema.Problem{Rule: "R031", Origin: list.Origin,
				Message: fmt.Sprintf("item %d differs from the first: %v", i+1, err), Mend: "Give every item the same parameters."})
			continue
		}
		items = append(items, Item{Number: i + 1, Values: values, Origin: list.Origin})
	}
	return names, items, errors.Join(problems...)
}

func matrix(e schema.Expansion, limit int) (names []string, items []Item, err error) {
	axes := e.Spec.Parameters.Matrix
	total := 1
	for _, a := range axes {
		n := len(a.Values)
		if a.Range != nil {
			n = a.Range.Len()
		}
		// Checked at each step, so that the product cannot overflow.
		if total *= n; total > limit {
			return nil, nil, tooMany(e.Origin, total, limit)
		}
		names = append(names, a.Name)
	}
	items = make([]Item, total)
	for i := range items {
		values := make([]schema.Value, len(axes))
		rest := i
		for j := len(axes) - 1; j >= 0; j-- {
			values[j], rest = pick(axes[j], rest)
		}
		items[i] = Item{Number: i + 1, Values: values, Origin: e.Origin}
	}
	return names, items, nil
}

// pick takes the axis' value for a combination's number, and returns what
// counts the slower axes.
func pick(a schema.Axis, number int) (schema.Value, int) {
	if a.Range == nil {
		return a.Values[number%len(a.Values)], number / len(a.Values)
	}
	n := a.Range.Len()
	v := a.Range.From + int64(number%n)*max(a.Range.Step, 1)
	return schema.Value{Name: a.Name, Text: strconv.FormatInt(v, 10), Data: v}, number / n
}

// readFile reads parameters by the end of the file's name, which
// [schema.DecodeExpansion] has checked.
func readFile(file string, data []byte, limits schema.DocumentLimits) ([]schema.Values, error) {
	if strings.EqualFold(path.Ext(file), ".csv") {
		return readCSV(file, data)
	}
	return readList(file, data, limits)
}

func readList(file string, data []byte, limits schema.DocumentLimits) ([]schema.Values, error) {
	documents, err := schema.ReadDocuments(file, data, limits)
	if err != nil {
		return nil, err
	}
	if err := onlyJSON(file, data); err != nil {
		return nil, err
	}
	p := &schema.Problem{Rule: "R031", Origin: schema.Origin{File: file, Line: 1}, Mend: "Write it as `- {ITEM: apple}` lines."}
	switch {
	case len(documents) == 0:
		p.Message = "a file of parameters has a list of mappings, and this one is empty"
		return nil, p
	case len(documents) > 1:
		p.Origin = documents[1].Origin()
		p.Message, p.Mend = "a file of parameters has one document, and this one has another here", "Put all items into one list."
		return nil, p
	case documents[0].Node.Kind != yaml.SequenceNode:
		p.Origin = documents[0].Origin()
		p.Message = "a file of parameters has a list of mappings, and this one has none"
		return nil, p
	}
	return schema.DecodeItems(documents[0])
}

// onlyJSON refuses what YAML reads and JSON forbids, such as 007, in a file
// that says that it is JSON: other programs read it, too, and would read
// something else or nothing.
func onlyJSON(file string, data []byte) error {
	if !strings.EqualFold(path.Ext(file), ".json") {
		return nil
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	err := json.Unmarshal(data, new(json.RawMessage))
	syntax, ok := errors.AsType[*json.SyntaxError](err)
	if !ok {
		return nil
	}
	// The offset is that of the end of the byte at fault.
	before := data[:max(0, min(int(syntax.Offset), len(data))-1)]
	line := before[bytes.LastIndexByte(before, '\n')+1:]
	return &schema.Problem{Rule: "R031", Origin: schema.Origin{File: file, Line: 1 + bytes.Count(before, []byte("\n")), Column: 1 + utf8.RuneCount(line)},
		Message: "the file is no JSON, though YAML would read it: " + err.Error(), Mend: "Correct it (JSON has no leading zeros, no comments, no commas before a closing bracket, and double quotes only), or name the file .yaml.", Cause: err}
}

// readCSV takes the names from the first line. Every value is a text.
func readCSV(file string, data []byte) ([]schema.Values, error) {
	reader := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(data, []byte("\ufeff"))))
	reader.ReuseRecord = true
	header, err := reader.Read()
	if errors.Is(err, io.EOF) {
		return nil, &schema.Problem{Rule: "R031", Origin: schema.Origin{File: file}, Message: "the file is empty", Mend: "Begin with a line of parameter names."}
	}
	if err != nil {
		return nil, csvProblem(file, err, 0, 0)
	}
	names := slices.Clone(header)
	for i, name := range names {
		line, column := reader.FieldPos(i)
		at := schema.Origin{File: file, Line: line, Column: column}
		switch first := slices.Index(names, name); {
		case !schema.ParameterName.MatchString(name):
			return nil, &schema.Problem{Rule: "R031", Origin: at, Message: fmt.Sprintf("the header, whose fields name the parameters, has %q, which is no name of one", name),
				Mend: "Use letters, digits and _, not a digit first" + suggested(name) + "."}
		case first < i:
			return nil, &schema.Problem{Rule: "R031", Origin: at, Message: fmt.Sprintf("the header names the parameter %s twice, in the fields %d and %d", name, first+1, i+1), Mend: "Rename or remove one of the columns."}
		}
	}
	var lists []schema.Values
	for {
		record, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return lists, nil
		}
		if err != nil {
			return nil, csvProblem(file, err, len(names), len(record))
		}
		line, column := reader.FieldPos(0)
		values := schema.Values{Origin: schema.Origin{File: file, Line: line, Column: column}, List: make([]schema.Value, len(names))}
		for i, text := range record {
			text = strings.Clone(text)
			values.List[i] = schema.Value{Name: names[i], Text: text, Data: text}
		}
		lists = append(lists, values)
	}
}

// suggested is the name that is probably meant by one that cannot be used.
func suggested(name string) string {
	clean := strings.Trim(notOfNames.ReplaceAllString(name, "_"), "_")
	if !schema.ParameterName.MatchString(clean) {
		return ""
	}
	return ", such as " + clean
}

var notOfNames = regexp.MustCompile(`[^A-Za-z0-9_]+`)

// csvProblem says what the reader of CSV does not take; wanted and got are how
// many fields the header and the line have.
func csvProblem(file string, err error, wanted, got int) error {
	p := &schema.Problem{Rule: "R031", Origin: schema.Origin{File: file}, Message: "cannot read CSV: " + err.Error(), Mend: "Quote fields that have commas, quotes or line breaks, and write a quote inside of them twice.", Cause: err}
	if parse, ok := errors.AsType[*csv.ParseError](err); ok {
		p.Origin.Line, p.Origin.Column = parse.Line, parse.Column
		p.Message = "cannot read CSV: " + parse.Err.Error()
	}
	switch {
	case errors.Is(err, csv.ErrFieldCount):
		p.Message = fmt.Sprintf("the line has %s, and the header names %s", count(got, "field"), count(wanted, "parameter"))
		p.Mend = "Give every line one field for each parameter; quote a field that has a comma."
	case errors.Is(err, csv.ErrQuote):
		p.Message = "cannot read CSV: a quote stands where the field does not end, or the field has no closing quote"
	case errors.Is(err, csv.ErrBareQuote):
		p.Message = "cannot read CSV: a quote stands in a field that does not begin with one"
	}
	return p
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
