package app

import (
	"net/http"
	"runtime"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/bizzstream/bizzscim/directory"
)

// metrics counts what the server does. A nil *metrics counts nothing.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
}

func newMetrics(version string, stats func() directory.StoreStats, ready func() bool) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "bizzscim_http_requests_total", Help: "Requests by route, method and status."},
			[]string{"route", "method", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "bizzscim_http_request_duration_seconds", Help: "Time from a request's headers to the end of its answer.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10}}, []string{"route", "method"}),
	}
	info := prometheus.NewGauge(prometheus.GaugeOpts{Name: "bizzscim_build_info", Help: "Always 1; the labels say what runs.",
		ConstLabels: prometheus.Labels{"version": version, "go": runtime.Version()}})
	info.Set(1)
	m.registry.MustRegister(m.requests, m.seconds, info,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "bizzscim_store_commits_total", Help: "Durable commits since start."},
			func() float64 { return float64(stats().Commits) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "bizzscim_store_updates_total", Help: "Changes that those commits carried."},
			func() float64 { return float64(stats().Updates) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "bizzscim_store_bytes", Help: "Size of the data on disk."},
			func() float64 { return float64(stats().Bytes) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "bizzscim_ready", Help: "1 while /readyz answers 200."},
			func() float64 {
				if ready() {
					return 1
				}
				return 0
			}))
	return m
}

func (m *metrics) observe(class, method string, status int, took time.Duration) {
	if m == nil {
		return
	}
	method = methodOf(method)
	m.requests.WithLabelValues(class, method, strconv.Itoa(status)).Inc()
	m.seconds.WithLabelValues(class, method).Observe(took.Seconds())
}

func (m *metrics) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{}))
	return mux
}
