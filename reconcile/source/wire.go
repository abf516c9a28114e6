package source

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/sideband"
)

// wire is one conversation with git-upload-pack on a server.
type wire interface {
	// refs asks for what the repository has.
	refs(ctx context.Context) (*packp.AdvRefs, error)
	// pack asks for objects. It comes after refs and ends the conversation.
	pack(ctx context.Context, want *packp.UploadPackRequest) (*packp.UploadPackResponse, error)
	close()
}

// metered reads at most left bytes from r and says so if there are more.
type metered struct {
	io.Reader
	left, most int64
}

// meter bounds r. Packing can make small content a little larger, and the list
// of refs comes on top, so the server may send somewhat more than the content.
func meter(r io.Reader, l Limits) *metered {
	most := l.Bytes + l.Bytes/8 + 1<<20
	return &metered{Reader: r, left: most, most: l.Bytes}
}

func (m *metered) Read(p []byte) (int, error) {
	if m.left <= 0 {
		return 0, tooManyBytes(m.most)
	}
	n, err := m.Reader.Read(p[:min(int64(len(p)), m.left)])
	m.left -= int64(n)
	return n, err
}

// tip is what a ref stands for at present.
type tip struct {
	name   string        // for the revision: main, v1, HEAD; empty for a commit
	object plumbing.Hash // to ask for: the commit, or the annotated tag
	commit plumbing.Hash // the commit, as far as the server told
	isTag  bool          // object is, or may be, an annotated tag
	all    []plumbing.Hash
}

func (t tip) revision() string { return revisionOf(t.name, t.commit) }

func revisionOf(name string, commit plumbing.Hash) string {
	if name == "" {
		return "sha1:" + commit.String()
	}
	return name + "@sha1:" + commit.String()
}

// find looks up what is wanted among what the server has.
func (w wanted) find(adv *packp.AdvRefs) (tip, error) {
	switch {
	case w.commit != "":
		return w.findCommit(adv), nil
	case w.branch == "" && w.tag == "":
		if adv.Head == nil {
			return tip{}, problem(ruleRefMissing, "", "the repository's HEAD names a branch that does not exist",
				"Name a branch in the source"+offer(adv, "refs/heads/")+".", ErrRefMissing)
		}
		return tip{name: "HEAD", object: *adv.Head, commit: *adv.Head}, nil
	}
	ref := w.ref()
	object, ok := adv.References[ref.String()]
	if !ok {
		prefix, _, _ := strings.Cut(ref.String(), ref.Short())
		return tip{}, w.missing(offer(adv, prefix))
	}
	t := tip{name: ref.Short(), object: object, commit: object}
	if w.tag != "" {
		// Without a peeled name beside it the tag is a lightweight one, but
		// not every server tells.
		if peeled, ok := adv.Peeled[ref.String()]; ok {
			t.commit, t.isTag = peeled, true
		}
	}
	return t, nil
}

// findCommit asks for a commit by its name if the server lets it be asked for,
// and otherwise for the history of everything there is.
func (w wanted) findCommit(adv *packp.AdvRefs) tip {
	h := plumbing.NewHash(w.commit)
	t := tip{object: h, commit: h}
	if adv.Capabilities.Supports(capability.AllowReachableSHA1InWant) || adv.Capabilities.Supports("allow-any-sha1-in-want") {
		return t
	}
	var others []plumbing.Hash
	for name, hash := range adv.References {
		if hash == h {
			return t
		}
		if strings.HasPrefix(name, "refs/heads/") || strings.HasPrefix(name, "refs/tags/") {
			others = append(others, hash)
		}
	}
	if adv.Head != nil && *adv.Head == h {
		return t
	}
	slices.SortFunc(others, func(a, b plumbing.Hash) int { return strings.Compare(a.String(), b.String()) })
	t.all = slices.Compact(others)
	return t
}

// missing says that the branch or tag is not there; others names some that are.
func (w wanted) missing(others string) error {
	kind, name := "branch", w.branch
	if w.tag != "" {
		kind, name = "tag", w.tag
	}
	return problem(ruleRefMissing, "", fmt.Sprintf("the repository has no %s %s", kind, name),
		fmt.Sprintf("Push the %s again, or name another one in the source%s; until then what is in force stays.", kind, others), ErrRefMissing)
}

// offer lists some refs of a kind for the reader to choose from.
func offer(adv *packp.AdvRefs, prefix string) string {
	var names []string
	for name := range adv.References {
		if short, ok := strings.CutPrefix(name, prefix); ok {
			names = append(names, quiet(short))
		}
	}
	if len(names) == 0 {
		return ""
	}
	slices.Sort(names)
	const some = 8
	more := ""
	if len(names) > some {
		names, more = names[:some], ", ..."
	}
	return " (there are " + strings.Join(names, ", ") + more + ")"
}

// request asks for one revision without its history.
func (t tip) request(adv *packp.AdvRefs) *packp.UploadPackRequest {
	req := packp.NewUploadPackRequestFromCapabilities(adv.Capabilities)
	req.Wants = []plumbing.Hash{t.object}
	// Setting a capability that the server has just announced cannot fail.
	if adv.Capabilities.Supports(capability.NoProgress) {
		_ = req.Capabilities.Set(capability.NoProgress)
	}
	if t.all != nil {
		req.Wants = t.all
	} else if adv.Capabilities.Supports(capability.Shallow) {
		_ = req.Capabilities.Set(capability.Shallow)
		req.Depth = packp.DepthCommits(1)
	}
	return req
}

// fetch gets the objects of t.
func (t tip) fetch(ctx context.Context, w wire, adv *packp.AdvRefs, limits Limits) (packed, error) {
	req := t.request(adv)
	answer, err := w.pack(ctx, req)
	if err != nil {
		return nil, err
	}
	defer answer.Close()
	var r io.Reader = answer
	switch {
	case req.Capabilities.Supports(capability.Sideband64k):
		r = sideband.NewDemuxer(sideband.Sideband64k, answer)
	case req.Capabilities.Supports(capability.Sideband):
		r = sideband.NewDemuxer(sideband.Sideband, answer)
	}
	p, err := unpack(r, limits)
	if err != nil {
		return nil, err
	}
	if _, ok := p[t.commit]; t.all != nil && !ok {
		return nil, problem(ruleRefMissing, "", fmt.Sprintf("no branch and no tag of the repository contains the commit %s", t.commit),
			"Push a branch or tag that has the commit, or name another commit.", ErrRefMissing)
	}
	return p, nil
}
