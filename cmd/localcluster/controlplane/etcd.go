package controlplane

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"

	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// maxSocketPath is what a unix socket's address holds on macOS, its closing zero excluded; Linux has a few more.
const maxSocketPath = 103

// store is the embedded etcd and the address at which the API server finds it.
type store struct {
	etcd      *embed.Etcd
	endpoint  string
	socketDir string
}

// startStore runs etcd on dir. It serves on a unix socket in a directory of this user, because a TCP port without
// client certificates would show every Secret to every user of the machine.
func startStore(ctx context.Context, dir string, log io.Writer) (*store, error) {
	s := &store{}
	socket, err := s.socket(dir)
	if err != nil {
		return nil, err
	}
	endpoint := url.URL{Scheme: "unix", Path: socket}
	s.endpoint = endpoint.String()

	config := embed.NewConfig()
	config.Dir = filepath.Join(dir, "etcd")
	config.ListenClientUrls = []url.URL{endpoint}
	config.AdvertiseClientUrls = []url.URL{endpoint}
	config.ListenPeerUrls = nil
	// A cluster of one has nobody to wait for: short ticks only make it elect itself at once.
	config.TickMs, config.ElectionMs = 10, 100
	config.UnsafeNoFsync = true
	config.EnableGRPCGateway = false
	encoder := zapcore.NewConsoleEncoder(zap.NewProductionEncoderConfig())
	config.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.New(zapcore.NewCore(encoder, zapcore.AddSync(log), zap.WarnLevel)))

	s.etcd, err = embed.StartEtcd(config)
	if err != nil {
		s.removeSocket()
		return nil, fmt.Errorf("starting etcd: %w", err)
	}
	select {
	case <-s.etcd.Server.ReadyNotify():
		return s, nil
	case err := <-s.etcd.Err():
		s.stop()
		return nil, fmt.Errorf("starting etcd: %w", err)
	case <-s.etcd.Server.StopNotify():
		s.stop()
		return nil, errors.New("starting etcd: it stopped; its reason is in the log")
	case <-ctx.Done():
		s.stop()
		return nil, fmt.Errorf("starting etcd: %w", context.Cause(ctx))
	}
}

// socket chooses the socket's path: below dir, or in a directory of its own where that path is too long for a socket.
func (s *store) socket(dir string) (string, error) {
	// The directory keeps other users out on every system; the mode of a socket does so on some.
	private := filepath.Join(dir, "run")
	if err := os.MkdirAll(private, 0o700); err != nil {
		return "", fmt.Errorf("making directory for etcd's socket: %w", err)
	}
	path := filepath.Join(private, "etcd.sock")
	if len(path) > maxSocketPath {
		short, err := os.MkdirTemp("", "localcluster-etcd-")
		if err != nil {
			return "", fmt.Errorf("making directory for etcd's socket: %w", err)
		}
		s.socketDir = short
		path = filepath.Join(short, "etcd.sock")
	}
	// A process that was killed leaves its socket behind, and nobody can listen on a path that exists.
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("removing stale socket: %w", err)
	}
	return path, nil
}

func (s *store) stop() {
	s.etcd.Close()
	s.removeSocket()
}

func (s *store) removeSocket() {
	if s.socketDir != "" {
		os.RemoveAll(s.socketDir)
	}
}
