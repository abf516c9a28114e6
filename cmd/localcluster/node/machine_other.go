//go:build !linux && !darwin

package node

// memoryBytes returns 0: how to learn the machine's memory is not known for this system.
func memoryBytes() int64 { return 0 }
