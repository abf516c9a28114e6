package node

import (
	"fmt"
	"io"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// Every process of a container carries these variables: on Linux they find the ones that left their session.
const (
	markContainer = "LOCALCLUSTER_CONTAINER"
	markNode      = "LOCALCLUSTER_NODE"
)

// marked is what shows to which container's run a process belongs.
type marked struct {
	container, node string
	session         int
}

// sweepPause is the least time between two searches of all processes, so that the end of a thousand containers at once
// does not cost a thousand searches of a thousand processes.
const sweepPause = 250 * time.Millisecond

// guardScript keeps the list of live process groups and kills them when its standard input ends: this process may die
// by SIGKILL, or by a fatal error deep in Kubernetes, and must not leave a machine full of orphans. $1 marks the
// node's processes.
const guardScript = `
trap '' HUP INT TERM QUIT
live=' '
while read -r verb group; do
	case $verb in
	add) live="$live$group " ;;
	del) live="${live%% $group *} ${live#* $group }" ;;
	esac
done
for group in $live; do kill -KILL "-$group" 2>/dev/null; done
[ -r /proc/self/environ ] || exit 0
for entry in /proc/[0-9]*; do
	if tr '\0' '\n' <"$entry/environ" 2>/dev/null | grep -qxF "$1"; then kill -KILL "${entry#/proc/}" 2>/dev/null; fi
done
exit 0
`

// guard sees to it that no process of a container outlives its container or this process.
type guard struct {
	id    string
	cmd   *exec.Cmd
	input io.WriteCloser

	mu      sync.Mutex
	waiting map[string]int
	swept   chan struct{}
	last    time.Time
}

// startGuard starts the guard of the node with this id, which must be unlike that of any other node.
func startGuard(id string) (*guard, error) {
	cmd := exec.Command("/bin/sh", "-c", guardScript, "localcluster-guard", markNode+"="+id)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	input, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("starting guard: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting guard: %w", err)
	}
	return &guard{id: id, cmd: cmd, input: input, waiting: map[string]int{}}, nil
}

// marks returns the variables by which sweep finds the processes of the container's run with this id, wherever they went.
func (g *guard) marks(id string) []string {
	return []string{markContainer + "=" + id, markNode + "=" + g.id}
}

func (g *guard) add(group int)    { g.tell("add", group) }
func (g *guard) remove(group int) { g.tell("del", group) }

func (g *guard) tell(verb string, group int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	// A guard that is gone cannot be told; the groups are killed by this process all the same.
	fmt.Fprintf(g.input, "%s %d\n", verb, group)
}

// sweep kills, within moments, what is left of a container outside its first process group: by its marks and, unless
// session is 0, by its session, which a process keeps that changed its user and lost its environment. The session must
// have ended just now, before its number can be another's. The channel that sweep returns is closed when all is done.
func (g *guard) sweep(id string, session int) <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting[id] = session
	if g.swept == nil {
		g.swept = make(chan struct{})
		time.AfterFunc(max(0, sweepPause-time.Since(g.last)), g.sweepNow)
	}
	return g.swept
}

func (g *guard) sweepNow() {
	g.mu.Lock()
	runs, swept := g.waiting, g.swept
	g.waiting, g.swept = map[string]int{}, nil
	g.mu.Unlock()
	sessions := map[int]bool{}
	for _, session := range runs {
		sessions[session] = session != 0
	}
	killMatching(func(p marked) bool {
		_, ended := runs[p.container]
		return ended || sessions[p.session]
	})
	g.mu.Lock()
	g.last = time.Now()
	g.mu.Unlock()
	close(swept)
}

// stop kills every process of the node that is left and waits for the guard to end.
func (g *guard) stop() {
	killMatching(func(p marked) bool { return p.node == g.id })
	g.input.Close()
	g.cmd.Wait()
}
