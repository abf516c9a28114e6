// Package examples has repositories of batch work that show what rota does.
// Each folder is the root of one. The tests render them, and run them to their
// end on the local cluster; the demo commits some of them to a repository of
// its own. The package has files only, and knows nothing of rota.
package examples

import "embed"

// FS holds each example in a folder of its name, as it is in this directory;
// files whose names begin with a dot or an underscore are left out.
//
//go:embed hello hello-v1beta1 expansion jinja overlays rabbitmq redis
var FS embed.FS
