package child

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"rota.dev/rota/render/expand"
	"rota.dev/rota/render/overlay"
)

// The pipe carries frames: a header, and one gob message of the type that the
// header's kind stands for. Gob and not JSON, since JSON turns bytes that are
// no UTF-8 into others and makes files a third longer; a field that a job or
// an answer gets travels by itself in both. The types are described once in
// each direction, so that a small job costs little more than its text.
//
// The child says that it is ready. Then the parent sends an order and answers
// questions until the child has the answer, so that neither ever sends two
// frames in a row.
const (
	kindTemplate byte = 'T' // parent: templateOrder
	kindOverlay  byte = 'O' // parent: overlayOrder
	kindFile     byte = 'F' // parent: fileAnswer
	kindReady    byte = 'R' // child: ready, before all else
	kindQuestion byte = 'Q' // child: fileQuestion
	kindAnswer   byte = 'A' // child: templateAnswer or overlayAnswer
	kindStopped  byte = 'S' // child: stopped, its last words
)

// headerSize is a kind, the number of the job and the length of the message.
// The number keeps an answer that comes too often from being taken for that of
// the next job.
const headerSize = 1 + 4 + 4

// mostMessage is what gob takes at most.
const mostMessage = 1<<30 - 1

// smallMessage bounds questions, and each file's share beyond its content.
const smallMessage = 64 << 10

// bounds are what the child holds itself to in one job.
type bounds struct {
	// Memory is that of the whole process in bytes.
	Memory int64
	// CPU is the processor time of the job.
	CPU time.Duration
	// Objects and Output bound what one run of kustomize makes, in number and
	// in bytes.
	Objects, Output int
}

type ready struct{}

type templateOrder struct {
	Bounds bounds
	// Job is without its Variables, which are not made for a pipe.
	Job       expand.Job
	Variables []variable
	Nodes     []node
}

type overlayOrder struct {
	Bounds bounds
	Job    overlay.Job
}

// fileQuestion asks for what a template includes.
type fileQuestion struct{ File string }

type fileAnswer struct {
	Data   []byte
	Faults []fault
}

type templateAnswer struct {
	Rendered expand.Rendered
	Faults   []fault
	// Memory is that of the process after the job, in bytes.
	Memory int64
}

type overlayAnswer struct {
	Objects []json.RawMessage
	Faults  []fault
	Memory  int64
}

// stopped says which bound the child passed.
type stopped struct{ Bound string }

// The bounds that a child can pass. Those of time and stack only its parent
// can tell.
const (
	boundMemory = "memory"
	boundCPU    = "cpu"
	boundTime   = "time"
	boundStack  = "stack"
)

// frame is one message on the way; its payload is still gob.
type frame struct {
	kind    byte
	job     uint32
	payload []byte
}

// errNonsense is what the other end must not say.
var errNonsense = errors.New("broken protocol")

// readFrame reads one frame; a message of more than most bytes is refused
// before it is read.
func readFrame(r *bufio.Reader, most int) (frame, error) {
	var header [headerSize]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return frame{}, err
	}
	f := frame{kind: header[0], job: binary.BigEndian.Uint32(header[1:])}
	size := int64(binary.BigEndian.Uint32(header[5:]))
	if size > int64(most) {
		return frame{}, fmt.Errorf("%w: a message of %d bytes, where %d are the most", errNonsense, size, most)
	}
	// The buffer grows with what arrives, not with what is announced.
	var payload bytes.Buffer
	payload.Grow(int(min(size, smallMessage)))
	if _, err := io.CopyN(&payload, r, size); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return frame{}, err
	}
	f.payload = payload.Bytes()
	return f, nil
}

// encoder writes frames.
type encoder struct {
	w   io.Writer
	buf bytes.Buffer
	gob *gob.Encoder
}

func newEncoder(w io.Writer) *encoder {
	registerValues()
	e := &encoder{w: w}
	e.gob = gob.NewEncoder(&e.buf)
	return e
}

// tooLarge is a message that was not sent, and after which no other can be.
type tooLarge struct{ size, most int }

func (e *tooLarge) Error() string {
	return fmt.Sprintf("a message of %d bytes, where %d are the most", e.size, e.most)
}

func (e *encoder) send(kind byte, job uint32, message any, most int) error {
	e.buf.Reset()
	var header [headerSize]byte
	header[0] = kind
	binary.BigEndian.PutUint32(header[1:], job)
	e.buf.Write(header[:])
	if err := e.gob.Encode(message); err != nil {
		return fmt.Errorf("encoding %T: %w", message, err)
	}
	size := e.buf.Len() - headerSize
	if size > most {
		return &tooLarge{size, most}
	}
	binary.BigEndian.PutUint32(e.buf.Bytes()[5:], uint32(size))
	_, err := e.w.Write(e.buf.Bytes())
	if e.buf.Cap() > 1<<20 {
		e.buf = bytes.Buffer{} // not kept for the small ones that follow
	}
	return err
}

// decoder reads the messages of frames, in their order.
type decoder struct {
	payload bytes.Reader
	gob     *gob.Decoder
}

func newDecoder() *decoder {
	registerValues()
	d := &decoder{}
	d.gob = gob.NewDecoder(&d.payload)
	return d
}

// decode reads the frame's message into what message points to. Whatever the
// bytes are, it returns.
func (d *decoder) decode(f frame, message any) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", errNonsense, p)
		}
	}()
	d.payload.Reset(f.payload)
	if err := d.gob.Decode(message); err != nil {
		return fmt.Errorf("%w: %w", errNonsense, err)
	}
	if rest := d.payload.Len(); rest > 0 {
		return fmt.Errorf("%w: %d bytes after the message", errNonsense, rest)
	}
	return nil
}

// registerValues makes gob take what [schema.Value.Data] may have without a
// node. Doing it again is allowed and changes nothing.
func registerValues() {
	gob.Register(map[string]any(nil))
	gob.Register(list{})
}
