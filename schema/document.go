package schema

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"regexp"

	"go.yaml.in/yaml/v3"
)

// DocumentLimits bound one file of YAML or JSON. A zero field means the
// default that its comment states.
type DocumentLimits struct {
	// FileBytes is the size of one file; 4 MiB by default.
	FileBytes int
	// Nesting is how deep mappings and sequences may stand inside each other,
	// aliases followed; 200 by default.
	Nesting int
	// AliasNodes is how many nodes the aliases of one document may add when
	// they are followed; 100,000 by default. It stops alias bombs.
	AliasNodes int
	// Documents is how many documents a file may have, empty ones included;
	// 50,000 by default.
	Documents int
}

func (l DocumentLimits) withDefaults() DocumentLimits {
	l.FileBytes = cmp.Or(l.FileBytes, int(DefaultLimits.FileBytes))
	l.Nesting = cmp.Or(l.Nesting, int(DefaultLimits.Nesting))
	l.AliasNodes = cmp.Or(l.AliasNodes, int(DefaultLimits.AliasNodes))
	l.Documents = cmp.Or(l.Documents, int(DefaultLimits.Objects))
	return l
}

// Document is one YAML or JSON document of a file, with the position of each
// of its nodes.
type Document struct {
	// File is the slash-separated path that positions refer to.
	File string
	// Index counts the documents of the file from 0, empty ones left out.
	Index int
	// Node is the content, never nil and never an alias.
	Node *yaml.Node
}

// Origin returns the position of the document's first node.
func (d Document) Origin() Origin { return NodeOrigin(d.File, d.Node) }

// NodeOrigin returns the position of node in file.
func NodeOrigin(file string, node *yaml.Node) Origin {
	if node == nil {
		return Origin{File: file}
	}
	return Origin{File: file, Line: node.Line, Column: node.Column}
}

// ReadDocuments parses data, YAML or JSON, into its documents. Empty documents
// and documents of comments only are left out. A failure is a [*Problem] with
// the line; documents before it are returned as well. File is used for
// positions only, nothing is opened.
func ReadDocuments(file string, data []byte, limits DocumentLimits) ([]Document, error) {
	limits = limits.withDefaults()
	if len(data) > limits.FileBytes {
		return nil, FileTooLarge(file, int64(len(data)), limits)
	}
	if bytes.HasPrefix(data, []byte("\xff\xfe")) || bytes.HasPrefix(data, []byte("\xfe\xff")) {
		return nil, &Problem{Rule: "R001", Origin: Origin{File: file, Line: 1, Column: 1},
			Message: "the file is UTF-16, which kubectl does not read", Mend: "Save it as UTF-8."}
	}
	var documents []Document
	decoder := yaml.NewDecoder(bytes.NewReader(asSplit(data)))
	for count := 0; ; count++ {
		var root yaml.Node
		err := decoder.Decode(&root)
		if errors.Is(err, io.EOF) {
			return documents, nil
		}
		if err != nil {
			return documents, syntaxProblem(file, data, err)
		}
		if count == limits.Documents {
			return nil, &Problem{Rule: "R004", Origin: NodeOrigin(file, &root),
				Message: fmt.Sprintf("the file has more than %d documents", limits.Documents), Mend: "Split the file, use an Expansion, or raise spec.limits.objects."}
		}
		if len(root.Content) == 0 || isEmptyScalar(root.Content[0]) {
			continue
		}
		document := Document{File: file, Index: len(documents), Node: root.Content[0]}
		if err := checkShape(document, limits); err != nil {
			return documents, err
		}
		documents = append(documents, document)
	}
}

// innerMark is a byte order mark at the begin of a document that is not the
// first, as files have it that were put together from others.
var innerMark = regexp.MustCompile("(?m)^(---[ \t\r]*\n)\ufeff")

// asSplit returns data as kubectl hands its documents to the YAML reader one by
// one: the last line has an end, and a byte order mark is taken off each.
func asSplit(data []byte) []byte {
	if len(data) > 0 && data[len(data)-1] != '\n' {
		data = append(data[:len(data):len(data)], '\n')
	}
	if bytes.LastIndex(data, []byte("\ufeff")) > 0 {
		data = innerMark.ReplaceAll(data, []byte("$1"))
	}
	return data
}

func isEmptyScalar(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.Style == 0 && n.Tag == "!!null" && n.Anchor == ""
}

// shape is the size of a node with its aliases followed.
type shape struct{ nodes, depth int }

// checkShape measures a document without following an alias twice, so that a
// bomb of a few hundred bytes costs no more than its own length.
func checkShape(d Document, limits DocumentLimits) error {
	known := map[*yaml.Node]shape{}
	open := map[*yaml.Node]bool{}
	var added int
	var measure func(n *yaml.Node, depth int) (shape, *Problem)
	measure = func(n *yaml.Node, depth int) (shape, *Problem) {
		if depth > limits.Nesting {
			return shape{}, tooDeep(d.File, n, limits.Nesting)
		}
		if n.Kind == yaml.AliasNode {
			if open[n.Alias] {
				return shape{}, &Problem{Rule: "R003", Origin: NodeOrigin(d.File, n),
					Message: fmt.Sprintf("the alias *%s stands inside the value that it names", n.Value),
					Mend:    "Remove the alias, or move the anchor."}
			}
			s, ok := known[n.Alias]
			if !ok {
				var p *Problem
				if s, p = measure(n.Alias, depth); p != nil {
					return s, p
				}
			}
			added = saturate(added + s.nodes)
			if added > limits.AliasNodes {
				return s, &Problem{Rule: "R004", Origin: NodeOrigin(d.File, n),
					Message: fmt.Sprintf("aliases would add more than %d nodes to the document", limits.AliasNodes),
					Mend:    "Use fewer aliases of aliases, or raise spec.limits.aliasNodes."}
			}
			if depth+s.depth > limits.Nesting {
				return s, tooDeep(d.File, n, limits.Nesting)
			}
			return s, nil
		}
		open[n] = n.Anchor != ""
		total := shape{nodes: 1, depth: 1}
		for _, child := range n.Content {
			s, p := measure(child, depth+1)
			if p != nil {
				return total, p
			}
			total.nodes = saturate(total.nodes + s.nodes)
			total.depth = max(total.depth, s.depth+1)
		}
		delete(open, n)
		if n.Anchor != "" {
			known[n] = total
		}
		return total, nil
	}
	if _, p := measure(d.Node, 1); p != nil {
		return p
	}
	return nil
}

func saturate(n int) int { return min(n, 1<<40) }

func tooDeep(file string, n *yaml.Node, limit int) *Problem {
	return &Problem{Rule: "R004", Origin: NodeOrigin(file, n),
		Message: fmt.Sprintf("values are nested more than %d deep", limit),
		Mend:    "Flatten the document, or raise spec.limits.nesting."}
}

// MaxFileBytes returns the limit on one file in bytes.
func (l DocumentLimits) MaxFileBytes() int { return l.withDefaults().FileBytes }

// FileTooLarge returns the Problem of a file of size bytes that is beyond l.
func FileTooLarge(file string, size int64, l DocumentLimits) *Problem {
	return &Problem{Rule: "R004", Origin: Origin{File: file},
		Message: fmt.Sprintf("the file has %d bytes; at most %d are read", size, l.MaxFileBytes()),
		Mend:    "Split the file, keep large data out of the manifests, or raise spec.limits.fileBytes."}
}
