package node

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"time"
)

// apiServerName is the common name of the client certificate with which the API server comes to the node.
const apiServerName = "kube-apiserver-kubelet-client"

// statusError is an error that the node's API answers with an HTTP status.
type statusError struct {
	code    int
	message string
}

func (e *statusError) Error() string { return e.message }

// serverConfig returns a TLS configuration that lets nobody in but the API server.
func serverConfig(certificateFile, keyFile, clientCAFile string) (*tls.Config, error) {
	certificate, err := tls.LoadX509KeyPair(certificateFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("reading node certificate: %w", err)
	}
	authority, err := os.ReadFile(clientCAFile)
	if err != nil {
		return nil, fmt.Errorf("reading client authority: %w", err)
	}
	clients := x509.NewCertPool()
	if !clients.AppendCertsFromPEM(authority) {
		return nil, fmt.Errorf("reading client authority: %s has no certificate", clientCAFile)
	}
	return &tls.Config{
		Certificates: []tls.Certificate{certificate},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    clients,
		MinVersion:   tls.VersionTLS12,
		VerifyConnection: func(state tls.ConnectionState) error {
			if name := state.PeerCertificates[0].Subject.CommonName; name != apiServerName {
				return fmt.Errorf("client %q is not the API server", name)
			}
			return nil
		},
	}, nil
}

// serve answers the part of the kubelet's API that kubectl logs needs, on a free port of loopback.
func (n *Node) serve(config *tls.Config) (net.Listener, *http.Server, error) {
	listener, err := tls.Listen("tcp4", net.JoinHostPort(address, "0"), config)
	if err != nil {
		return nil, nil, fmt.Errorf("listening for the node's API: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") })
	mux.HandleFunc("GET /containerLogs/{namespace}/{pod}/{container}", n.serveLogs)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "localcluster serves logs only: containers are local processes, so exec, attach, cp and port-forward are your own shell's work",
			http.StatusNotImplemented)
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go server.Serve(listener)
	return listener, server, nil
}

func (n *Node) serveLogs(w http.ResponseWriter, r *http.Request) {
	query, previous, err := parseLogQuery(r.URL.Query(), time.Now())
	if err != nil {
		http.Error(w, err.Error(), http.StatusUnprocessableEntity)
		return
	}
	path, live, err := n.findLog(r.PathValue("namespace"), r.PathValue("pod"), r.PathValue("container"), previous)
	if err != nil {
		code := http.StatusInternalServerError
		var known *statusError
		if errors.As(err, &known) {
			code = known.code
		}
		http.Error(w, err.Error(), code)
		return
	}
	w.Header().Set("Content-Type", "text/plain")
	out := io.Writer(w)
	if query.follow {
		// Headers go out at once, so that a client that follows a silent container knows it is connected.
		http.NewResponseController(w).Flush()
		out = flushing{w}
	}
	if err := readLog(path, live, query, out, r.Context().Done()); err != nil {
		n.log.Debug("sending log", "pod", r.PathValue("pod"), "error", err)
	}
}

// flushing sends each write at once.
type flushing struct{ http.ResponseWriter }

func (f flushing) Write(data []byte) (int, error) {
	n, err := f.ResponseWriter.Write(data)
	if err == nil {
		err = http.NewResponseController(f.ResponseWriter).Flush()
	}
	return n, err
}

// parseLogQuery reads PodLogOptions as the API server sends them, and whether the previous run is asked for.
func parseLogQuery(values url.Values, now time.Time) (logQuery, bool, error) {
	query := logQuery{tail: -1, limit: -1}
	var previous bool
	flags := map[string]*bool{"follow": &query.follow, "timestamps": &query.timestamps, "previous": &previous}
	for name, target := range flags {
		if text := values.Get(name); text != "" {
			value, err := strconv.ParseBool(text)
			if err != nil {
				return logQuery{}, false, fmt.Errorf("%s: %q is not a boolean", name, text)
			}
			*target = value
		}
	}
	numbers := map[string]*int64{"tailLines": &query.tail, "limitBytes": &query.limit}
	for name, target := range numbers {
		if text := values.Get(name); text != "" {
			value, err := strconv.ParseInt(text, 10, 64)
			if err != nil || value < 0 {
				return logQuery{}, false, fmt.Errorf("%s: %q is not a number from 0 up", name, text)
			}
			*target = value
		}
	}
	if text := values.Get("sinceSeconds"); text != "" {
		seconds, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return logQuery{}, false, fmt.Errorf("sinceSeconds: %q is not a number", text)
		}
		query.since = now.Add(-time.Duration(seconds) * time.Second)
	}
	if text := values.Get("sinceTime"); text != "" {
		since, err := time.Parse(time.RFC3339, text)
		if err != nil {
			return logQuery{}, false, fmt.Errorf("sinceTime: %q is not a time in RFC 3339", text)
		}
		query.since = since
	}
	return query, previous, nil
}
