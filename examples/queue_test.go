package examples

import (
	"bufio"
	"context"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/util/wait"
)

// queue is a work queue of the redis example on a server of its own, with the
// example's scripts run as plain processes.
type queue struct {
	env []string
}

func newQueue(t *testing.T) queue {
	t.Helper()
	if testing.Short() {
		t.Skip("starts a redis-server")
	}
	runs[slices.IndexFunc(runs, func(r run) bool { return r.repository == "redis" })].needPrograms(t)
	port := freePort(t)
	server := exec.Command("redis-server", "--bind", "127.0.0.1", "--port", port, "--save", "", "--appendonly", "no", "--dir", t.TempDir())
	start(t, server)
	return queue{env: append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1", "PYTHONUNBUFFERED=1",
		"REDIS_SERVICE_HOST=127.0.0.1", "REDIS_SERVICE_PORT="+port, "QUEUE=test")}
}

// command is a script of the example, with further variables.
func (q queue) command(script string, args []string, env ...string) *exec.Cmd {
	c := exec.Command("/usr/bin/python3", append([]string{"redis/" + script}, args...)...)
	c.Env = append(slices.Clone(q.env), env...)
	return c
}

func (q queue) fill(t *testing.T, items ...string) string {
	t.Helper()
	return output(t, q.command("fill.py", items))
}

func TestAnItemOfAKilledWorkerIsDoneByAnother(t *testing.T) {
	q := newQueue(t)
	q.fill(t, "apple", "banana", "cherry")

	victim := q.command("worker.py", nil, "WORK_SECONDS=600", "LEASE_SECONDS=3")
	lines, err := victim.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	start(t, victim)
	if line, err := bufio.NewReader(lines).ReadString('\n'); err != nil || line != "Working on apple\n" {
		t.Fatalf("the first worker said %q, %v", line, err)
	}
	leased := time.Now()
	if err := victim.Process.Kill(); err != nil {
		t.Fatal(err)
	}

	said := strings.Fields(strings.ReplaceAll(output(t, q.command("worker.py", nil, "WORK_SECONDS=0")), "Working on ", ""))
	if early := time.Since(leased); early < 2*time.Second {
		t.Errorf("the queue was empty %s after a lease of 3s", early)
	}
	got := slices.DeleteFunc(said, func(word string) bool { return !slices.Contains([]string{"apple", "banana", "cherry"}, word) })
	if diff := cmp.Diff([]string{"banana", "cherry", "apple"}, got); diff != "" {
		t.Errorf("what the second worker did (-want +got):\n%s", diff)
	}
}

func TestAWorkerThatIsTooSlowSaysThatItLostItsLease(t *testing.T) {
	q := newQueue(t)
	q.fill(t, "apple")
	slow := q.command("worker.py", nil, "WORK_SECONDS=3", "LEASE_SECONDS=1")
	lines, err := slow.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	start(t, slow)
	reader := bufio.NewReader(lines)
	if line, err := reader.ReadString('\n'); err != nil || line != "Working on apple\n" {
		t.Fatalf("the slow worker said %q, %v", line, err)
	}
	if said := output(t, q.command("worker.py", nil, "WORK_SECONDS=0")); !strings.Contains(said, "Working on apple\n") {
		t.Errorf("the quick worker said %q", said)
	}
	if line, err := reader.ReadString('\n'); err != nil || !strings.Contains(line, "lease had expired") {
		t.Errorf("the slow worker said %q, %v", line, err)
	}
}

func TestAQueueIsFilledOnce(t *testing.T) {
	q := newQueue(t)
	if got, want := q.fill(t, "apple", "apple"), "Queued 2 items\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := q.fill(t, "apple", "apple"), "The queue has been filled before\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if said := output(t, q.command("worker.py", nil, "WORK_SECONDS=0")); strings.Count(said, "Working on apple\n") != 2 {
		t.Errorf("two equal items are two: the worker said %q", said)
	}
}

func TestWorkersWaitForTheQueueToBeFilled(t *testing.T) {
	q := newQueue(t)
	early := q.command("worker.py", nil, "WORK_SECONDS=0")
	lines, err := early.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	start(t, early)
	// Of its waiting nothing can be seen but that it asks.
	awaitClient(t, q, "exists")
	q.fill(t, "apple")
	if line, err := bufio.NewReader(lines).ReadString('\n'); err != nil || line != "Working on apple\n" {
		t.Fatalf("the early worker said %q, %v", line, err)
	}
}

// awaitClient waits until a client of the server has sent the command.
func awaitClient(t *testing.T, q queue, command string) {
	t.Helper()
	const script = "import os, redis; print(redis.Redis(port=int(os.environ['REDIS_SERVICE_PORT'])).client_list())"
	err := wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, time.Minute, true, func(context.Context) (bool, error) {
		c := exec.Command("/usr/bin/python3", "-c", script)
		c.Env = q.env
		said, err := c.CombinedOutput()
		return err == nil && strings.Contains(string(said), "'cmd': '"+command+"'"), nil
	})
	if err != nil {
		t.Fatalf("no client sent %s: %v", command, err)
	}
}

// start starts a process that does not outlive the test.
func start(t *testing.T, c *exec.Cmd) {
	t.Helper()
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	})
}

func output(t *testing.T, c *exec.Cmd) string {
	t.Helper()
	said, err := c.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", c, err, said)
	}
	return string(said)
}

func freePort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return strconv.Itoa(listener.Addr().(*net.TCPAddr).Port)
}
