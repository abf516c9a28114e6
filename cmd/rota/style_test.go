package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The limits that the project sets itself; where one is reached, the design
// asks for a new noun.
const (
	mostFileLines = 500
	mostTestLines = 900
	mostFuncLines = 80
	mostParams    = 6
)

func TestCodeKeepsItsOwnLimits(t *testing.T) {
	top := root(t)
	err := filepath.WalkDir(top, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() && (strings.HasPrefix(e.Name(), ".") && path != top || e.Name() == "testdata") {
			return fs.SkipDir
		}
		if filepath.Ext(path) != ".go" {
			return nil
		}
		name, _ := filepath.Rel(top, path)
		checkFile(t, path, filepath.ToSlash(name))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func checkFile(t *testing.T, path, name string) {
	t.Helper()
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, path, nil, parser.ParseComments)
	if err != nil {
		t.Error(err)
		return
	}
	test := strings.HasSuffix(name, "_test.go")
	lines := set.File(file.Pos()).LineCount()
	if limit := map[bool]int{false: mostFileLines, true: mostTestLines}[test]; lines > limit {
		t.Errorf("%s has %d lines, more than %d", name, lines, limit)
	}
	if test {
		return
	}
	inPure := slices.Contains(pure, filepath.ToSlash(filepath.Dir(name)))
	for _, d := range file.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			checkFunc(t, set, name, d, inPure)
		case *ast.GenDecl:
			checkDocs(t, set, name, d)
		}
	}
}

func checkFunc(t *testing.T, set *token.FileSet, name string, d *ast.FuncDecl, inPure bool) {
	t.Helper()
	at := set.Position(d.Pos()).Line
	if n := set.Position(d.End()).Line - at + 1; n > mostFuncLines {
		t.Errorf("%s:%d: %s has %d lines, more than %d", name, at, d.Name.Name, n, mostFuncLines)
	}
	if n := d.Type.Params.NumFields(); n > mostParams {
		t.Errorf("%s:%d: %s takes %d parameters, more than %d", name, at, d.Name.Name, n, mostParams)
	}
	if d.Name.Name == "init" && d.Recv == nil {
		t.Errorf("%s:%d: init hides an order of things", name, at)
	}
	if d.Name.IsExported() && d.Doc == nil && exportedReceiver(d) {
		t.Errorf("%s:%d: exported %s has no doc comment", name, at, d.Name.Name)
	}
	if !inPure {
		return
	}
	ast.Inspect(d, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := s.X.(*ast.Ident); ok {
				switch x.Name + "." + s.Sel.Name {
				case "time.Now", "time.Since", "context.Background", "context.TODO":
					t.Errorf("%s:%d: %s.%s in a pure package", name, set.Position(s.Pos()).Line, x.Name, s.Sel.Name)
				}
			}
		}
		return true
	})
}

func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	receiver := d.Recv.List[0].Type
	if star, ok := receiver.(*ast.StarExpr); ok {
		receiver = star.X
	}
	id, ok := receiver.(*ast.Ident)
	return ok && id.IsExported()
}

func checkDocs(t *testing.T, set *token.FileSet, name string, d *ast.GenDecl) {
	t.Helper()
	for _, s := range d.Specs {
		if spec, ok := s.(*ast.TypeSpec); ok && spec.Name.IsExported() && spec.Doc == nil && d.Doc == nil {
			t.Errorf("%s:%d: exported type %s has no doc comment", name, set.Position(spec.Pos()).Line, spec.Name.Name)
		}
	}
}
