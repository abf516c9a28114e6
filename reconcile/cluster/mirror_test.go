package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	k8sschema "k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"rota.dev/rota/schema"
)

// script drives a mirror by hand and writes down what it tells.
type script struct {
	*mirror
	told []string
	lost atomic.Int64
}

func newScript(from source) *script {
	s := &script{mirror: newMirror(scope{kind: k8sschema.GroupKind{Kind: "ConfigMap"}, namespace: "n"}, configMapsResource, from, slog.New(slog.DiscardHandler))}
	s.mirror.tell = func(key schema.Key, before, after *unstructured.Unstructured) {
		s.told = append(s.told, fmt.Sprintf("%s %s→%s", key.Name, versionOf(before), versionOf(after)))
	}
	s.mirror.lost = func() { s.lost.Add(1) }
	return s
}

func versionOf(u *unstructured.Unstructured) string {
	if u == nil {
		return "-"
	}
	return u.GetResourceVersion()
}

func named(name string) schema.Key { return schema.Key{Kind: "ConfigMap", Namespace: "n", Name: name} }

// at is the object name of the first uid, at a resourceVersion.
func at(name string, version int) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "ConfigMap"}}
	u.SetNamespace("n")
	u.SetName(name)
	u.SetUID(types.UID(name + "-1"))
	u.SetResourceVersion(strconv.Itoa(version))
	return u
}

// again is another object of the same name.
func again(name string, version int) *unstructured.Unstructured {
	u := at(name, version)
	u.SetUID(types.UID(name + "-2"))
	return u
}

func (s *script) wrote(u *unstructured.Unstructured) {
	s.begin(s.key(u))
	s.end(s.key(u), u)
}

func (s *script) lists(version int, objects ...*unstructured.Unstructured) {
	list := []any{}
	for _, u := range objects {
		list = append(list, u)
	}
	if err := s.Replace(list, strconv.Itoa(version)); err != nil {
		panic(err)
	}
}

func (s *script) shows() []string {
	shown := map[schema.Key]*unstructured.Unstructured{}
	s.each(func(key schema.Key, u *unstructured.Unstructured) { shown[key] = u })
	var all []string
	for _, key := range sortedKeys(shown) {
		all = append(all, fmt.Sprintf("%s %s", key.Name, shown[key].GetResourceVersion()))
	}
	return all
}

func (s *script) vanishes() []string {
	var all []string
	gone := s.take()
	for _, key := range sortedKeys(gone) {
		all = append(all, fmt.Sprintf("%s %s", key.Name, gone[key].GetResourceVersion()))
	}
	return all
}

// A mirror that was known to be empty at 10 takes the answers of our writes
// before its watch begins; its first answer is compared with them.
func TestTheFirstAnswerIsComparedWithWhatWasWrittenBefore(t *testing.T) {
	for _, c := range []struct {
		name                string
		do                  func(s *script)
		told, shown, vanish []string
	}{
		{"what we wrote is no change", func(s *script) {
			s.wrote(at("a", 11))
			s.lists(20, at("a", 11))
		}, nil, []string{"a 11"}, nil},
		{"what another wrote over it is told", func(s *script) {
			s.wrote(at("a", 11))
			s.lists(20, at("a", 15))
		}, []string{"a 11→15"}, []string{"a 15"}, nil},
		{"what another deleted is told and has vanished", func(s *script) {
			s.wrote(at("a", 11))
			s.lists(20)
		}, []string{"a 11→-"}, nil, []string{"a 11"}},
		{"what another deleted and created again is told", func(s *script) {
			s.wrote(at("a", 11))
			s.lists(20, again("a", 15))
		}, []string{"a 11→15"}, []string{"a 15"}, nil},
		{"what another put there is told", func(s *script) {
			s.wrote(at("a", 11))
			s.lists(20, at("a", 11), at("b", 12))
		}, []string{"b -→12"}, []string{"a 11", "b 12"}, nil},
		{"a creation that is newer than the list is kept", func(s *script) {
			s.wrote(at("a", 21))
			s.lists(20)
		}, nil, []string{"a 21"}, nil},
		{"an update that is newer than the list is kept", func(s *script) {
			s.wrote(at("a", 11))
			s.wrote(at("a", 21))
			s.lists(20, at("a", 11))
		}, nil, []string{"a 21"}, nil},
		{"the events of our own writes after the list are no change", func(s *script) {
			s.wrote(at("a", 21))
			s.lists(20)
			_ = s.Add(at("a", 21))
		}, nil, []string{"a 21"}, nil},
		{"a foreign event after a write that the list lacked is told", func(s *script) {
			s.wrote(at("a", 21))
			s.lists(20)
			_ = s.Add(at("a", 21))
			_ = s.Update(at("a", 22))
		}, []string{"a 21→22"}, []string{"a 22"}, nil},
		{"a write that failed for us and reached the server is told", func(s *script) {
			s.begin(named("a"))
			s.end(named("a"), nil)
			s.lists(20, at("a", 11))
		}, []string{"a -→11"}, []string{"a 11"}, nil},
		{"a list that comes before the answer to our write is no change", func(s *script) {
			s.begin(named("a"))
			s.lists(20, at("a", 11))
			s.end(named("a"), at("a", 11))
		}, nil, []string{"a 11"}, nil},
		{"a list that shows a foreign write before the answer to ours is told", func(s *script) {
			s.begin(named("a"))
			s.lists(20, at("a", 15))
			s.end(named("a"), at("a", 11))
		}, []string{"a -→15"}, []string{"a 15"}, nil},
		{"what was deleted before a list that comes before the answer to our write is told", func(s *script) {
			s.begin(named("a"))
			s.lists(20)
			s.end(named("a"), at("a", 11))
		}, []string{"a 11→-"}, nil, []string{"a 11"}},
		{"a write that a list cannot have seen is kept, though it was begun before", func(s *script) {
			s.begin(named("a"))
			s.lists(20)
			s.end(named("a"), at("a", 21))
		}, nil, []string{"a 21"}, nil},
		{"a second list tells as the first", func(s *script) {
			s.wrote(at("a", 11))
			s.lists(20, at("a", 11))
			s.lists(30)
		}, []string{"a 11→-"}, nil, []string{"a 11"}},
		{"what we know to be deleted is not told", func(s *script) {
			s.wrote(at("a", 11))
			s.drop(named("a"), "a-1")
			s.lists(20, at("a", 11))
		}, nil, nil, []string{"a 11"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newScript(source{})
			s.emptyAt("10", time.Hour)
			defer s.stop()
			c.do(s)
			if diff := cmp.Diff(c.told, s.told); diff != "" {
				t.Errorf("told (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.shown, s.shows()); diff != "" {
				t.Errorf("shown (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.vanish, s.vanishes()); diff != "" {
				t.Errorf("vanished (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTheFirstAnswerTellsOnlyOfWhatWasKnown(t *testing.T) {
	for _, c := range []struct {
		name        string
		do          func(s *script)
		told, shown []string
	}{
		{"nothing", func(s *script) {
			s.lists(20, at("a", 11), at("b", 12))
		}, nil, []string{"a 11", "b 12"}},
		{"what we wrote is no change", func(s *script) {
			s.wrote(at("a", 11))
			s.lists(20, at("a", 11), at("b", 12))
		}, nil, []string{"a 11", "b 12"}},
		{"what another wrote over what we wrote is told", func(s *script) {
			s.wrote(at("a", 11))
			s.lists(20, at("a", 15), at("b", 12))
		}, []string{"a 11→15"}, []string{"a 15", "b 12"}},
		{"what another deleted that we wrote is told", func(s *script) {
			s.wrote(at("a", 11))
			s.lists(20, at("b", 12))
		}, []string{"a 11→-"}, []string{"b 12"}},
		{"what another wrote over what we are writing is told", func(s *script) {
			s.begin(named("a"))
			s.lists(20, at("a", 15), at("b", 12))
			s.end(named("a"), at("a", 11))
		}, []string{"a -→15"}, []string{"a 15", "b 12"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newScript(source{})
			defer s.stop()
			c.do(s)
			if diff := cmp.Diff(c.told, s.told); diff != "" {
				t.Errorf("told (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.shown, s.shows()); diff != "" {
				t.Errorf("shown (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAnObjectIsGoneOnlyForAMirrorThatKnowsMoreThanTheObject(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(s *script)
		want bool
	}{
		{"nothing was known of it yet", func(s *script) {}, false},
		{"what is known is older than it", func(s *script) { s.lists(14) }, false},
		{"what is known is newer and does not show it", func(s *script) { s.lists(16) }, true},
		{"it is shown", func(s *script) { s.lists(16, at("a", 15)) }, false},
		{"it is shown as something newer", func(s *script) { s.lists(17, at("a", 16)) }, false},
		{"another is shown in its place", func(s *script) { s.lists(17, again("a", 16)) }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newScript(source{})
			s.emptyAt("10", time.Hour)
			defer s.stop()
			c.do(s)
			if got, _ := s.gone(named("a"), at("a", 15)); got != c.want {
				t.Errorf("gone: %v, want %v", got, c.want)
			}
		})
	}
}

// asked is a source that lists nothing and counts how often it is asked.
func asked(times *atomic.Int64, refuse func() error) source {
	return source{
		list: func(context.Context, metav1.ListOptions) (runtime.Object, error) {
			if err := refuse(); err != nil {
				return nil, err
			}
			times.Add(1)
			return &unstructured.UnstructuredList{Object: map[string]any{"metadata": map[string]any{"resourceVersion": "20"}}}, nil
		},
		watch: func(_ context.Context, o metav1.ListOptions) (watch.Interface, error) {
			if o.SendInitialEvents != nil {
				return nil, apierrors.NewInvalid(k8sschema.GroupKind{}, "", nil)
			}
			return watch.NewFake(), nil
		},
	}
}

func TestAMirrorThatNobodyStartsStartsByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var times atomic.Int64
		s := newScript(asked(&times, func() error { return nil }))
		s.emptyAt("10", time.Minute)
		time.Sleep(59 * time.Second)
		synctest.Wait()
		if times.Load() != 0 {
			t.Error("it started at once")
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if err := s.wait(t.Context()); err != nil || times.Load() != 1 {
			t.Errorf("after a minute it was listed %d times: %v", times.Load(), err)
		}
		s.stop()
	})
}

func TestAMirrorIsStartedOnceAndNotAfterItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var times atomic.Int64
		s := newScript(asked(&times, func() error { return nil }))
		s.emptyAt("10", time.Minute)
		s.start()
		s.start()
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		s.stop()
		s.stop()
		if times.Load() != 1 {
			t.Errorf("listed %d times", times.Load())
		}

		never := newScript(asked(&times, func() error { return nil }))
		never.emptyAt("10", time.Minute)
		never.stop()
		never.start()
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if times.Load() != 1 {
			t.Errorf("a mirror that was stopped before its start was listed")
		}
	})
}

func TestAMirrorThatMayNotGoOnSaysSo(t *testing.T) {
	refused := apierrors.NewForbidden(k8sschema.GroupResource{Resource: "configmaps"}, "", errors.New("no"))
	for _, c := range []struct {
		name   string
		known  string
		refuse error
		want   int64
	}{
		{"of a world that was relied on", "10", refused, 1},
		{"not where somebody waits for the first answer", "", refused, 0},
		{"not if it may pass", "10", errors.New("connection refused"), 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var times atomic.Int64
				s := newScript(asked(&times, func() error { return c.refuse }))
				if c.known != "" {
					s.emptyAt(c.known, time.Hour)
				}
				s.start()
				// It is tried again and again, and said once.
				time.Sleep(time.Minute)
				synctest.Wait()
				s.stop()
				if s.lost.Load() != c.want {
					t.Errorf("said %d times, want %d", s.lost.Load(), c.want)
				}
			})
		})
	}
}
