// Package examples has repositories of batch work that show what rota does,
// one a folder. The tests render them, and run them to their end on the local
// cluster; the demo makes a git repository of some of them wherever it runs.
// The package has files only, and knows nothing of rota.
package examples

import "embed"

// FS has every example; its files are as in the folders beside this one, but
// for those whose names begin with a dot or an underscore.
//
//go:embed hello hello-v1beta1 expansion jinja overlays rabbitmq redis
var FS embed.FS
