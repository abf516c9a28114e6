# The controller and nothing else: static, without a shell, as a user that is
# not root. The local cluster and the demo are not for an image.
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY cmd/rota cmd/rota
COPY examples examples
COPY reconcile reconcile
COPY render render
COPY schema schema
ARG VERSION=devel
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.release=${VERSION}" -o /rota ./cmd/rota

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /rota /rota
USER 65532:65532
ENTRYPOINT ["/rota"]
CMD ["run", "--config", "/etc/rota/sync.yaml"]
