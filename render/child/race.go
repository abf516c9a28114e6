//go:build race

package child

// kernelBounds is false here: the race detector takes memory of its own, many
// times that of the program, and dies where it gets none.
const kernelBounds = false
