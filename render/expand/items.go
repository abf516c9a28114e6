package expand

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"

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
	if len(documents) != 1 || documents[0].Node.Kind != yaml.SequenceNode {
		return nil, &schema.Problem{Rule: "R031", Origin: schema.Origin{File: file, Line: 1},
			Message: "a file of parameters has one document, a list of mappings", Mend: "Write it as `- {ITEM: apple}` lines."}
	}
	return schema.DecodeItems(documents[0])
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
		return nil, csvProblem(file, err)
	}
	names := slices.Clone(header)
	for i, name := range names {
		if !schema.ParameterName.MatchString(name) || slices.Contains(names[:i], name) {
			line, column := reader.FieldPos(i)
			return nil, &schema.Problem{Rule: "R031", Origin: schema.Origin{File: file, Line: line, Column: column},
				Message: fmt.Sprintf("%q in the header is no name of a parameter, or is there twice", name), Mend: "Use letters, digits and _, not a digit first."}
		}
	}
	var lists []schema.Values
	for {
		record, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return lists, nil
		}
		if err != nil {
			return nil, csvProblem(file, err)
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

func csvProblem(file string, err error) error {
	origin := schema.Origin{File: file}
	message := err.Error()
	if parse, ok := errors.AsType[*csv.ParseError](err); ok {
		origin.Line, origin.Column = parse.Line, parse.Column
		message = parse.Err.Error()
	}
	return &schema.Problem{Rule: "R031", Origin: origin, Message: "cannot read CSV: " + message, Mend: "Give every line as many fields as the header; quote fields that have commas or quotes.", Cause: err}
}
