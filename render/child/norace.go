//go:build !race

package child

// kernelBounds is whether the kernel is told how much memory the child may
// have, besides the child's own watch.
const kernelBounds = true
