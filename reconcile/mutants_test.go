package reconcile

import (
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	runMutants  = flag.Bool("mutants", false, "take away each protection in turn, and see the proof fail")
	onlyMutants = flag.String("mutants.only", "", "pattern of the names of the mutants to try")
)

// mutant is the program without one protection. The proof has to fail for it.
type mutant struct {
	name string
	// file is below reconcile; old is in it once, and becomes new.
	file, old, new string
	// packages and tests say what has to fail, each pair by itself.
	kills []kill
}

type kill struct{ pkg, tests string }

var mutants = []mutant{
	{"any Job of the run's name is taken for the run", "scheduler_protocol.go",
		"	run, ours := schedule.RunOf(cj, job)\n	switch {\n",
		"	run, _ := schedule.RunOf(cj, job)\n	ours := true\n	run.Slot = a.Slot\n	switch {\n",
		[]kill{{".", "TestAStrangersJobOfTheRunsName"}, {"./cluster", "TestRunsLeaveAStrangersJobAlone"}}},
	{"a run is known by its label, whoever owns it", "schedule/state.go",
		"return run, native || (watched && owned(job, cj.UID))",
		"return run, native || (watched && (owned(job, cj.UID) || true))",
		[]kill{{".", "TestTheRunOfAnEarlierCronJobIsNotTakenOver"}}},
	{"a run is known by its owner, whatever its slot", "schedule/state.go",
		"|| job.Name != RetryName(cj.Name, slot, retry) {", "{",
		[]kill{{"./schedule", "TestRunOf"}}},
	{"a commit does not compare the resourceVersion", "cluster/run.go",
		"	return r.client.BatchV1().CronJobs(cj.Namespace).UpdateStatus(",
		"	cj = cj.DeepCopy()\n	cj.ResourceVersion = \"\"\n	return r.client.BatchV1().CronJobs(cj.Namespace).UpdateStatus(",
		[]kill{{"./cluster", "TestCommitIsRefusedOnAnOldState"}, {"./cluster", "TestProofOnTheAPIServer"}}},
	{"a commit is made on whatever is stored by now", "scheduler_protocol.go",
		"	stored, err := p.Writer.Commit(ctx, updated)\n",
		"	if live, err := p.Reader.Live(ctx, p.name); err == nil && live != nil {\n		updated.ResourceVersion = live.ResourceVersion\n	}\n	stored, err := p.Writer.Commit(ctx, updated)\n",
		[]kill{{".", "TestAFrozenLeaderDoesNoHarm"}}},
	{"a commit whose answer was lost counts as made", "scheduler_protocol.go",
		"	if err == nil {\n		p.memory.cronJob(stored)\n		p.view.CronJob = stored\n		return true, nil\n	}\n",
		"	if err == nil {\n		p.memory.cronJob(stored)\n		p.view.CronJob = stored\n		return true, nil\n	}\n	if !apierrors.IsConflict(err) {\n		p.memory.cronJob(updated)\n		p.view.CronJob = updated\n		return true, nil\n	}\n",
		[]kill{{".", "TestAYearOfSchedules"}}}, // counting alone does not see it
	{"the loser of a conflict deletes its Job", "scheduler_protocol.go",
		"	p.Log.Debug(\"a commit was refused or its answer lost; reading live\"",
		"	for _, job := range started {\n		_ = p.Keeper.Delete(ctx, job, schedule.DeleteFinished)\n	}\n	p.Log.Debug(\"a commit was refused or its answer lost; reading live\"",
		[]kill{{".", "TestTheLoserOfAConflictLeavesTheJobToTheWinner"}, {".", "TestTwoLeadersDoNoHarm"}}},
	{"a prepared Job is swept before its slot is resolved", "schedule/decide.go",
		"			if d.past(run) {\n				d.do(Sweep{Run: run})",
		"			if true {\n				d.do(Sweep{Run: run})",
		[]kill{{"./schedule", "TestDecideOnRunsThatAreNotReleased"}, {".", "TestAYearOfSchedules"}}},
	{"slots are counted without the cursor", "schedule/slots.go",
		"base := latest(d.state.Created, d.resolved, cursor.Since)",
		"base := latest(d.state.Created, cursor.Since)",
		[]kill{{"./schedule", "TestAnyHistoryResolvesEverySlotOnce"}, {".", "TestAScheduleFiresOnceAMinute"}}},
	{"the cursor goes back", "schedule/cursor.go",
		"	if last.After(c.Slot) {\n		c.Slot, c.Outcome, c.Retry = last, r.Outcome, nil\n	}",
		"	c.Slot, c.Outcome, c.Retry = last, r.Outcome, nil",
		[]kill{{"./schedule", "TestAnyHistoryResolvesEverySlotOnce"}}},
	{"a release does not ask whether it is the very Job", "cluster/run.go",
		"		{Op: \"test\", Path: \"/metadata/uid\", Value: job.UID},\n", "",
		[]kill{{"./cluster", "TestAPatchIsForTheVeryJob"}}},
	{"a release does not ask for the mark", "cluster/run.go",
		"		{Op: \"test\", Path: preparedPath, Value: job.Annotations[schema.AnnotationPrepared]},\n", "",
		[]kill{{"./cluster", "TestAPatchIsForTheVeryJob"}}},
	{"a sweep does not ask whether the Job was let go meanwhile", "cluster/run_keep.go",
		"		only.ResourceVersion = &job.ResourceVersion\n", "		_ = only\n",
		[]kill{{"./cluster", "TestAPatchIsForTheVeryJob"}}},
	{"Pods that outlive their Job are not looked for", "scheduler_protocol.go",
		"		if len(left) > 0 {", "		if len(left) > 1000 {",
		[]kill{{".", "TestForbidWaitsForPodsThatOutliveTheirJob"}, {"./cluster", "TestRunsForbidWaitsForPodsThatOutliveTheirJob"}}},
	{"a run is let go however late it is", "schedule/decide.go",
		"	case d.expired(run):\n		d.do(Withdraw{Run: run, Reason: DeadlineMissed})\n		return\n", "",
		[]kill{{"./schedule", "TestDecideOnRunsThatAreNotReleased"}}},
	{"a run of an earlier revision is committed to", "scheduler_protocol.go",
		"case ours && !run.Deleting && p.outdated(cj, job):", "case ours && !run.Deleting && p.outdated(cj, job) && false:",
		[]kill{{".", "TestARunThatWasPreparedBeforeAnEditIsPreparedAnew"}, {"./cluster", "TestProofOnTheAPIServer"}}},
	{"a leader that starts reads what the server remembers", "cluster/run_watch.go",
		"	o.ResourceVersion, o.ResourceVersionMatch = \"\", \"\"\n", "	o.ResourceVersion, o.ResourceVersionMatch = \"0\", \"\"\n",
		[]kill{{"./cluster", "TestRunsBeginWithAQuorumRead"}}},
	{"a leader that starts has what the server remembers streamed", "cluster/run_watch.go",
		"			o.LabelSelector = selector\n			return client.Watch(ctx, o)",
		"			o.LabelSelector = selector\n			if o.SendInitialEvents != nil {\n				o.ResourceVersion = \"0\"\n			}\n			return client.Watch(ctx, o)",
		[]kill{{"./cluster", "TestRunsBeginWithAQuorumRead"}}},
	{"a leader that starts does not wait until it has read all", "cluster/run_watch.go",
		"	if !cache.WaitForCacheSync(ctx.Done(), synced...) {\n		return nil\n	}\n", "	_ = synced\n",
		[]kill{{"./cluster", "TestRunsDecideNothingBeforeAllIsRead"}}},
	{"a live read may be old", "cluster/run.go",
		"CronJobs(name.Namespace).Get(ctx, name.Name, metav1.GetOptions{})", "CronJobs(name.Namespace).Get(ctx, name.Name, metav1.GetOptions{ResourceVersion: \"0\"})",
		[]kill{{"./cluster", "TestRunsBeginWithAQuorumRead"}}},
	{"work goes on when its lease is lost", "cluster/lease.go",
		"	err := t.work(working)", "	err := t.work(context.WithoutCancel(working))",
		[]kill{{"./cluster", "TestLeadEndsItsWorkBeforeAnotherMayLead"}}},
	{"a lease is released while its work goes on", "cluster/lease.go",
		"			<-l.term.ended\n		}\n		// The", "		}\n		// The",
		[]kill{{"./cluster", "TestALeaseIsNotReleasedBeforeItsWorkHasEnded"}}},
	{"the wall clock does not end a lease", "cluster/lease.go",
		"		if silent > t.options.RenewDeadline {", "		if silent > 1000*t.options.RenewDeadline {",
		[]kill{{"./cluster", "TestTheWallClockEndsALease"}}},

	{"a Job that ran is created again", "plan/job.go",
		"	case ran.Digest == in.RunDigest:\n", "	case ran.Digest == in.RunDigest && false:\n", honest},
	{"a Job that runs once runs again when it changes", "plan/job.go",
		"	if rerunOf(in) == RerunNever && started {", "	if rerunOf(in) == RerunNever && started && false {", honest},
	{"any active run may be ended", "plan/job.go",
		"	switch annotation(owner.Unstructured, schema.AnnotationWhileActive) {\n", "	switch WhileActiveReplace {\n", honest},
	{"a suspended Job is said to run", "plan/suspended.go",
		"		return !held(c.Object.Unstructured)\n", "		return true\n", honest},
	{"drift is not seen", "plan/compute.go",
		"	case len(c.Lost) == 0:\n", "	case true:\n", honest},
	{"what a controller made is pruned", "plan/prune.go",
		" != input.Options.SetID || owned(live) {", " != input.Options.SetID {", honest},
	{"prune is on though it is off", "plan/prune.go",
		"	case !o.Prune:\n		return \"prune is off\"\n", "", honest},
	{"a CronJob is not suspended as the repository has it", "plan/intend.go",
		"= strconv.FormatBool(suspended)", "= strconv.FormatBool(suspended && false)", honest},
	{"every update takes what others own", "cluster/update.go",
		"		applied, err := a.apply(ctx, object, c.Force)\n", "		applied, err := a.apply(ctx, object, true)\n", honest},
	{"a deletion does not ask whether it is the very object", "cluster/delete.go",
		"Preconditions: &metav1.Preconditions{UID: &uid}}", "Preconditions: &metav1.Preconditions{}}", honest},
	{"a Job that can vanish is not prepared", "cluster/create.go",
		"	if c.Prepare {\n", "	if c.Prepare && false {\n", honest},
	{"a run is not recorded", "cluster/apply.go",
		"			runs[c.Key] = newRun(c, object)\n", "			_ = newRun(c, object)\n", honest},
	{"what is kept is applied", "cluster/apply.go",
		"		case c.Op == plan.Keep, c.Op == plan.Wait:\n			a.settle",
		"		case c.Op == plan.Keep, c.Op == plan.Wait:\n			if c.Before != nil && c.Object != nil {\n				_, _ = a.apply(a.work, c.Object.Unstructured, true)\n			}\n			a.settle", honest},
}

// honest is a property on random stories, which has to see each of these.
var honest = []kill{{".", "TestAPlanIsHonest"}}

// TestMutants proves the proof: without any one of its protections, the program
// fails the tests named for it. Run it with
//
//	go test ./reconcile -run TestMutants -mutants -timeout 0
//
// It takes an hour, most of it to build. Without -mutants it only sees that
// each mutant still can be made.
func TestMutants(t *testing.T) {
	only := regexp.MustCompile(*onlyMutants)
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) {
			text, err := os.ReadFile(m.file)
			if err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(string(text), m.old); n != 1 {
				t.Fatalf("the text to replace is %d times in %s, want once", n, m.file)
			}
			if !*runMutants || !only.MatchString(m.name) {
				return
			}
			overlay := m.overlay(t, strings.Replace(string(text), m.old, m.new, 1))
			binaries := map[string]string{}
			for _, k := range m.kills {
				if binaries[k.pkg] == "" {
					binaries[k.pkg] = k.build(t, overlay)
				}
				k.try(t, binaries[k.pkg])
			}
		})
	}
}

// overlay writes what makes the go command see the mutant.
func (m mutant) overlay(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	original, err := filepath.Abs(m.file)
	if err != nil {
		t.Fatal(err)
	}
	mutated := filepath.Join(dir, filepath.Base(m.file))
	replace, err := json.Marshal(map[string]any{"Replace": map[string]string{original: mutated}})
	if err != nil {
		t.Fatal(err)
	}
	overlay := filepath.Join(dir, "overlay.json")
	for path, text := range map[string]string{mutated: text, overlay: string(replace)} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return overlay
}

// build makes the tests of the mutant. What does not build proves nothing.
func (k kill) build(t *testing.T, overlay string) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "mutant.test")
	out, err := exec.CommandContext(t.Context(), "go", "test", "-c", "-vet=off", "-ldflags=-s -w", "-overlay", overlay, "-o", binary, k.pkg).CombinedOutput()
	if err != nil {
		t.Fatalf("building %s: %v\n%s", k.pkg, err, clipped(out))
	}
	return binary
}

// try sees the tests fail for the mutant; they pass without it in every run of
// the suite. What runs no test proves nothing.
func (k kill) try(t *testing.T, binary string) {
	t.Helper()
	args := []string{"-test.run=^(" + k.tests + ")$", "-test.timeout=5m"}
	switch {
	case k == honest[0]:
		args = append(args, "-honest.for=2m")
	case k.pkg != "./cluster":
		args = append(args, "-test.short") // the others need no cluster
	}
	cmd := exec.CommandContext(t.Context(), binary, args...)
	cmd.Dir = k.pkg
	out, err := cmd.CombinedOutput()
	switch {
	case err == nil:
		t.Errorf("it survives %s of %s:\n%s", k.tests, k.pkg, clipped(out))
	case !strings.Contains(string(out), "--- FAIL: "+k.tests) && !strings.Contains(string(out), "panic: test timed out"):
		t.Errorf("%s of %s did not fail, but could not run:\n%s", k.tests, k.pkg, clipped(out))
	default:
		t.Logf("dies by %s of %s", k.tests, k.pkg)
	}
}

func clipped(out []byte) []byte { return out[:min(len(out), 2000)] }
