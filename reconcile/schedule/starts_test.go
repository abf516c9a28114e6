package schedule

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"rota.dev/rota/schema"
)

// someSpec is any CronJob with everything that says when its runs start.
func someSpec(t *testing.T, r *rand.Rand, now time.Time) Spec {
	t.Helper()
	spec, err := SpecOf(someCronJob(r, now))
	if err != nil || spec.Err != nil {
		t.Fatal(err, spec.Err)
	}
	if r.IntN(2) == 0 {
		text, zone := sampleSchedule(r), sampleZones[r.IntN(len(sampleZones))]
		if cron, err := Parse(text, zone); err == nil {
			spec.Schedule, spec.Zone, spec.Cron = text, zone, cron
		}
	}
	spec.Rules.DaylightSaving = schema.DaylightSaving{Gap: []string{"", schema.GapShift}[r.IntN(2)], Repeat: []string{"", schema.RepeatFirst, schema.RepeatLast}[r.IntN(3)]}
	return spec
}

func TestStartsAreTheRunsThatAreForeseen(t *testing.T) {
	seeds := uint64(3000)
	if testing.Short() {
		seeds = 600
	}
	compared := 0
	for seed := range seeds {
		r := rand.New(rand.NewPCG(seed, 29))
		now := time.Date(2026, []time.Month{3, 10, 6}[r.IntN(3)], 1, 0, 0, 30, r.IntN(2)*5e8, time.UTC).Add(time.Duration(r.IntN(35*1440*60)) * time.Second)
		spec := someSpec(t, r, now)
		c := Coming{After: now, Until: now.Add(time.Duration(r.IntN(9*86400)) * time.Second), Most: math.MaxInt}
		if r.IntN(2) == 0 {
			c.Anchor = now.Add(-time.Duration(r.IntN(100)) * time.Second)
			c.Ran = c.Anchor
		}
		if r.IntN(3) == 0 {
			c.Resolved = now.Add(-time.Duration(r.IntN(86400)) * time.Second)
		}
		var want, got []int64
		for _, f := range spec.Coming(c) {
			want = append(want, f.Due.Unix())
		}
		for at := range spec.Starts(c) {
			got = append(got, at)
		}
		for i := range max(len(want), len(got)) {
			if i >= len(got) || i >= len(want) || got[i] != want[i] {
				t.Fatalf("seed %d: %q in %s, %s, pause %v, from %s to %s: run %d of %d is not that of %d", seed, spec.Schedule, spec.Zone, spec.Rules, spec.Pause,
					now, c.Until, i, len(got), len(want))
			}
		}
		if n := spec.CountStarts(c); n != len(want) {
			t.Fatalf("seed %d: %q in %s, %s, pause %v, from %s to %s: counted %d runs of %d", seed, spec.Schedule, spec.Zone, spec.Rules, spec.Pause,
				now, c.Until, n, len(want))
		}
		compared += len(want)
	}
	if compared < 100*int(seeds) {
		t.Errorf("only %d runs were compared", compared)
	}
}

func TestStartsEndWhereTheyAreNotWantedAnyMore(t *testing.T) {
	for _, text := range []string{"* * * * *", "@every 1m"} {
		cron, err := Parse(text, "Europe/Berlin")
		if err != nil {
			t.Fatal(err)
		}
		for _, jitter := range []time.Duration{0, time.Hour} {
			spec := Spec{Namespace: "n", Name: "x", Cron: cron, Rules: schema.Policy{Jitter: schema.Duration{Duration: jitter}}}
			now := time.Date(2026, 10, 20, 0, 0, 0, 0, time.UTC)
			n := 0
			for range spec.Starts(Coming{After: now, Until: now.AddDate(0, 0, 14)}) {
				if n++; n == 3 {
					break
				}
			}
			if n != 3 {
				t.Errorf("%s with jitter %s: %d runs", text, jitter, n)
			}
		}
	}
}

// BenchmarkAWeekOfEveryMinute prints how many times as long as Starts it takes
// to list the same runs.
func BenchmarkAWeekOfEveryMinute(b *testing.B) {
	cron, err := Parse("* * * * *", "Europe/Berlin")
	if err != nil {
		b.Fatal(err)
	}
	spec := Spec{Namespace: "n", Name: "x", Cron: cron, Rules: schema.Policy{Jitter: schema.Duration{Duration: time.Minute}}}
	now := time.Date(2026, 10, 20, 0, 0, 0, 0, time.UTC)
	c := Coming{After: now, Until: now.AddDate(0, 0, 7), Most: math.MaxInt}
	var listing, counting time.Duration
	runs := 0
	for b.Loop() {
		begin := time.Now()
		listed := len(spec.Coming(c))
		listing += time.Since(begin)
		begin, runs = time.Now(), 0
		for range spec.Starts(c) {
			runs++
		}
		if counting += time.Since(begin); runs != listed {
			b.Fatalf("%d runs, and %d are listed", runs, listed)
		}
	}
	b.ReportMetric(float64(listing)/float64(counting), "listing/starts")
	b.ReportMetric(float64(counting.Nanoseconds())/float64(b.N*runs), "ns/run")
}
