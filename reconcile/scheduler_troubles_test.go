package reconcile

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	batchv1 "k8s.io/api/batch/v1"
)

func TestASchedulerTellsWhatItCannotCarryOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newModel(t)
		m.cronJob("a", "* * * * *", batchv1.AllowConcurrent)
		c := m.client(1)
		c.fault = func(int, bool) error { return errors.New("no quota is left") }
		s := c.scheduler(t)
		ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
		defer cancel()
		done := make(chan struct{})
		go func() {
			defer close(done)
			if err := s.Run(ctx); err != nil {
				t.Error(err)
			}
		}()
		<-s.News()
		if p := s.Troubles(); len(p) != 1 || p[0].Object.Name != "a" || p[0].Rule != "R343" {
			t.Errorf("the troubles are %v", p)
		}
		<-done
	})
}
