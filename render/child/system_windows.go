package child

import (
	"os"
	"os/exec"
	"time"
)

func isolate(*exec.Cmd) {}

func keepFiles() {}

func killGroup(p *os.Process) { _ = p.Kill() }

// processorTime is not known here: the parent's clock has to do.
func processorTime() time.Duration { return 0 }
