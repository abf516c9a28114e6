package schedule

import (
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	judge "rota.dev/rota/reconcile/history"
	"rota.dev/rota/schema"
)

var (
	walkYears = flag.Int("walk.years", 3, "how many years of each zone are walked over")
	walkSpecs = flag.Int("walk.specs", 1, "how many schedules each zone gets")
)

func proofZones(t testing.TB) []string {
	t.Helper()
	text, err := os.ReadFile("testdata/zones.txt")
	if err != nil {
		t.Fatal(err)
	}
	zones := strings.Fields(string(text))
	if len(zones) < 200 {
		t.Fatalf("only %d zones", len(zones))
	}
	return zones
}

// fuzzedSpec draws five fields of every form that both readers take.
func fuzzedSpec(r *rand.Rand) string {
	item := func(low, top int, names []string) string {
		value := func(v int) string {
			if len(names) > 0 && r.IntN(2) == 0 {
				return names[v-low]
			}
			return fmt.Sprint(v)
		}
		a := low + r.IntN(top-low+1)
		b := a + r.IntN(top-a+1)
		return []string{value(a), value(a), value(a) + "-" + value(b), value(a) + "-" + value(b) + "/" + fmt.Sprint(1+r.IntN(9)),
			value(a) + "/" + fmt.Sprint(1+r.IntN(top)), "*/" + fmt.Sprint(1+r.IntN(top+5))}[r.IntN(6)]
	}
	field := func(stars, low, top int, names []string) string {
		if r.IntN(10) < stars {
			return []string{"*", "*", "?", "*/1"}[r.IntN(4)]
		}
		list := []string{item(low, top, names)}
		for r.IntN(3) == 0 {
			list = append(list, item(low, top, names))
		}
		return strings.Join(list, ",")
	}
	months := strings.Fields("jan FEB mar apr may jun jul aug sep Oct nov dec")
	days := strings.Fields("SUN mon tue Wed thu fri sat")
	// The hours of the night are where clocks change.
	hour := []string{field(3, 0, 23, nil), field(0, 0, 4, nil)}[r.IntN(2)]
	return strings.Join([]string{field(2, 0, 59, nil), hour, field(6, 1, 31, nil), field(7, 1, 12, months), field(6, 0, 6, days)}, " ")
}

// TestWhatIsForeseenIsWhatAWalkOverYearsFinds holds the fires that are
// foreseen, in each of their forms, and the starts that are decided to a walk
// over every minute of some years, in 200 zones, that shares no code with them.
func TestWhatIsForeseenIsWhatAWalkOverYearsFinds(t *testing.T) {
	zones, years := proofZones(t), *walkYears
	if testing.Short() {
		rand.New(rand.NewPCG(1, 1)).Shuffle(len(zones), func(i, j int) { zones[i], zones[j] = zones[j], zones[i] })
		zones, years = zones[:12], 2
	}
	var mutex sync.Mutex
	slots, starts := 0, 0
	var workers sync.WaitGroup
	next := make(chan int)
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for i := range next {
				n, m := proveZone(t, zones[i], uint64(i), years)
				mutex.Lock()
				slots, starts = slots+n, starts+m
				mutex.Unlock()
			}
		})
	}
	for i := range zones {
		next <- i
	}
	close(next)
	workers.Wait()
	if slots < 1000*len(zones)*years/10 || starts < 20*len(zones)*years/10 {
		t.Errorf("only %d slots and %d starts were compared", slots, starts)
	}
	t.Logf("%d slots and %d starts in %d zones are as the walk has them", slots, starts, len(zones))
}

// proveZone returns how many slots and starts it compared.
func proveZone(t *testing.T, zone string, seed uint64, years int) (slots, starts int) {
	r := rand.New(rand.NewPCG(seed, 200))
	from := time.Date(2000+r.IntN(40), time.Month(1+r.IntN(12)), 1+r.IntN(28), r.IntN(24), r.IntN(60), r.IntN(60), 0, time.UTC)
	until := from.AddDate(years, 0, 0)
	var cronJobs []*batchv1.CronJob
	for range *walkSpecs {
		cronJobs = append(cronJobs, proofCronJob(fuzzedSpec(r), zone, someSaving(r)))
	}
	walked, err := walkedYears(zone, cronJobs, from, years)
	if err != nil {
		t.Errorf("%s: %v", zone, err)
		return 0, 0
	}
	for i, want := range walked {
		cj := cronJobs[i]
		spec, err := SpecOf(cj)
		if err != nil || spec.Err != nil && len(want) > 0 {
			t.Errorf("%q in %s: %v, %v", spec.Schedule, zone, err, spec.Err)
			return slots, starts
		}
		if spec.Err != nil {
			continue // it never fires, and the walk has found nothing
		}
		if fault := foreseenAsWalked(spec, want, from, until); fault != "" {
			t.Errorf("%q in %s under %s from %s: %s", spec.Schedule, zone, spec.Rules, from, fault)
			return slots, starts
		}
		slots += len(want)
		for _, at := range append(changesOf(spec.Cron.Location(), from, until), from.Add(time.Duration(r.IntN(years*365*24))*time.Hour)) {
			n, fault := decidedAsWalked(t, cj, want, latest(from, at.Add(-time.Duration(r.IntN(36*60))*time.Minute)))
			if fault != "" {
				t.Errorf("%q in %s under %s: %s", spec.Schedule, zone, spec.Rules, fault)
				return slots, starts
			}
			starts += n
		}
	}
	return slots, starts
}

func someSaving(r *rand.Rand) schema.Policy {
	return schema.Policy{DaylightSaving: schema.DaylightSaving{
		Gap: []string{"", schema.GapShift}[r.IntN(2)], Repeat: []string{"", schema.RepeatFirst, schema.RepeatLast}[r.IntN(3)]}}
}

// walkedYears returns the slots of each CronJob. It keeps the minutes of one
// year at a time.
func walkedYears(zone string, cronJobs []*batchv1.CronJob, from time.Time, years int) ([][]time.Time, error) {
	walked := make([][]time.Time, len(cronJobs))
	for year := range years {
		begin, end := from.AddDate(year, 0, 0), from.AddDate(year+1, 0, 0)
		walk, err := judge.NewWalk(zone, begin, end)
		if err != nil {
			return nil, err
		}
		for i, cj := range cronJobs {
			rules, err := schema.ParsePolicy(cj.Annotations[schema.AnnotationPolicy])
			if err != nil {
				return nil, err
			}
			slots, err := walk.Slots(cj.Spec.Schedule, rules.DaylightSaving, begin, end)
			if err != nil {
				return nil, err
			}
			walked[i] = append(walked[i], slots...)
		}
	}
	return walked, nil
}

func proofCronJob(text, zone string, rules schema.Policy) *batchv1.CronJob {
	hold := true
	return &batchv1.CronJob{
		ObjectMeta: metav1.ObjectMeta{Name: "x", Namespace: "n", UID: "cj", Annotations: map[string]string{
			schema.AnnotationScheduler: "rota", schema.AnnotationPolicy: rules.String()}},
		Spec: batchv1.CronJobSpec{Schedule: text, TimeZone: &zone, Suspend: &hold},
	}
}

// foreseenAsWalked says how what is foreseen differs from want; empty if it
// does not. Of dense schedules the first and the last are listed.
func foreseenAsWalked(spec Spec, want []time.Time, from, until time.Time) string {
	i := 0
	for at := range spec.Starts(Coming{After: from, Until: until}) {
		if i >= len(want) || want[i].Unix() != at {
			return fmt.Sprintf("start %d is %s, want %v", i, time.Unix(at, 0).UTC(), want[min(i, len(want)):min(i+1, len(want))])
		}
		i++
	}
	if i != len(want) {
		return fmt.Sprintf("%d starts, want %d", i, len(want))
	}
	if n := spec.CountStarts(Coming{After: from, Until: until}); n != len(want) {
		return fmt.Sprintf("%d starts are counted, want %d", n, len(want))
	}
	if len(want) == 0 {
		return ""
	}
	const most = 20_000
	for _, c := range []Coming{{After: from, Until: until, Most: most}, {After: want[max(len(want)-most, 0):][0].Add(-time.Second), Until: until, Most: math.MaxInt}} {
		first, _ := slices.BinarySearchFunc(want, c.After, func(slot, after time.Time) int { return slot.Compare(after.Add(time.Nanosecond)) })
		fires := spec.Coming(c)
		if len(fires) != min(len(want)-first, c.Most) {
			return fmt.Sprintf("%d fires after %s, want %d", len(fires), c.After, min(len(want)-first, c.Most))
		}
		for i, f := range fires {
			if !f.Slot.Equal(want[first+i]) || !f.Due.Equal(f.Slot) {
				return fmt.Sprintf("fire %d after %s is %s, want %s", i, c.After, f.Slot, want[first+i])
			}
		}
	}
	return ""
}

// decidedAsWalked lets Decide run cj from the given time on, and returns how
// many starts were those of want.
func decidedAsWalked(t *testing.T, cj *batchv1.CronJob, want []time.Time, now time.Time) (int, string) {
	const most = 8
	first, _ := slices.BinarySearchFunc(want, now.Add(time.Nanosecond), time.Time.Compare)
	cj = cj.DeepCopy()
	cj.CreationTimestamp = metav1.Time{Time: now.AddDate(-1, 0, 0)}
	cursor := Cursor{Schedule: cj.Spec.Schedule, Zone: *cj.Spec.TimeZone, Since: now}
	cj.Annotations[schema.AnnotationCursor] = cursor.String()
	want = want[first:min(first+most, len(want))]
	if len(want) == 0 {
		return 0, ""
	}
	var list []string
	for _, slot := range want {
		list = append(list, fmt.Sprintf("%s at %s", slot.UTC().Format(time.DateTime), slot.UTC().Format(time.DateTime)))
	}
	if got := carriedOut(t, cj, now, want[len(want)-1], len(want)); !slices.Equal(got, list) {
		return 0, fmt.Sprintf("from %s it starts\n%v, want\n%v", now, got, list)
	}
	return len(list), ""
}

// TestWhatIsForeseenAndDecidedAgreesWithTheVectors holds previews and decisions
// to robfig/cron's answers, as cron_test.go does with Next.
func TestWhatIsForeseenAndDecidedAgreesWithTheVectors(t *testing.T) {
	text, err := os.ReadFile("testdata/cron-vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct {
		Spec, TZ string
		After    time.Time
		Next     []string
	}
	if err := json.Unmarshal(text, &vectors); err != nil {
		t.Fatal(err)
	}
	for _, v := range vectors {
		name := v.Spec + " " + v.TZ + " " + v.After.Format(time.RFC3339Nano)
		want, other := differs[name]
		if !other {
			want = v.Next
		}
		t.Run(name, func(t *testing.T) {
			cj := proofCronJob(v.Spec, v.TZ, schema.Policy{})
			spec, err := SpecOf(cj)
			if err != nil {
				t.Fatal(err)
			}
			until := v.After.AddDate(5, 0, 0)
			var slots []time.Time
			for _, at := range want {
				slot, err := time.Parse(time.RFC3339, at)
				if err != nil {
					t.Fatal(err)
				}
				slots, until = append(slots, slot), slot
			}
			// A run is named by its minute, by Kubernetes as well: there is one.
			slots = slices.CompactFunc(slots, func(a, b time.Time) bool { return minuteOf(a) == minuteOf(b) })
			var fires []time.Time
			for _, f := range spec.Coming(Coming{After: v.After, Until: until, Most: 3}) {
				fires = append(fires, f.Due)
			}
			if !slices.EqualFunc(fires, slots, time.Time.Equal) {
				t.Errorf("foreseen are %v, want %v", fires, slots)
			}
			if len(slots) > 0 {
				if _, fault := decidedAsWalked(t, cj, slots, v.After); fault != "" {
					t.Error(fault)
				}
			}
		})
	}
}

// FuzzWhatIsForeseen holds the fires of any schedule in any of 200 zones to a
// walk over the minutes of sixty days.
func FuzzWhatIsForeseen(f *testing.F) {
	zones := proofZones(f)
	r := rand.New(rand.NewPCG(5, 6))
	for i := range 60 {
		f.Add(fuzzedSpec(r), uint16(r.IntN(len(zones))), uint32(r.IntN(40*366*24)), uint8(i))
	}
	f.Fuzz(func(t *testing.T, text string, zone uint16, hours uint32, policy uint8) {
		from := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(hours%(40*366*24)) * time.Hour)
		until := from.AddDate(0, 0, 60)
		rules := schema.Policy{DaylightSaving: schema.DaylightSaving{
			Gap: []string{"", schema.GapShift}[policy%2], Repeat: []string{"", schema.RepeatFirst, schema.RepeatLast}[policy/2%3]}}
		name := zones[int(zone)%len(zones)]
		spec, err := SpecOf(proofCronJob(text, name, rules))
		if err != nil || spec.Err != nil || strings.Contains(text, "TZ=") {
			return
		}
		walk, err := judge.NewWalk(name, from, until)
		if err != nil {
			t.Fatal(err)
		}
		want, err := walk.Slots(text, rules.DaylightSaving, from, until)
		if err != nil {
			return // it reads less than Kubernetes does
		}
		if fault := foreseenAsWalked(spec, want, from, until); fault != "" {
			t.Errorf("%q in %s under %s from %s: %s", text, name, rules, from, fault)
		}
	})
}
