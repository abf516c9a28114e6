// Package examples has the example repositories, one a folder, so that the
// demo can make a git repository of them wherever it runs.
package examples

import "embed"

// FS has every example; its files are as in the folders beside this one.
//
//go:embed hello hello-v1beta1 expansion jinja overlays rabbitmq redis
var FS embed.FS
