//go:build race

package cluster

// raced says that times mean nothing.
const raced = true
