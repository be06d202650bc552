package app

import (
	"context"
	"net/http"
	"runtime"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/pull"
)

// metrics counts what the server does. A nil *metrics counts nothing.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	runs     *prometheus.CounterVec
	took     *prometheus.HistogramVec
}

// environmentLabels tell environments apart: the id for joining, the name for people.
var environmentLabels = []string{"environment_id", "environment"}

func newMetrics(version string, stats func() directory.StoreStats, ready func() bool) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "bizzscim_http_requests_total", Help: "Requests by route, method and status."},
			[]string{"route", "method", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "bizzscim_http_request_duration_seconds", Help: "Time from a request's headers to the end of its answer.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10}}, []string{"route", "method"}),
		runs: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "bizzscim_pull_runs_total", Help: "Pull runs that have ended, by the state they ended in."},
			append(environmentLabels, "state")),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "bizzscim_pull_run_duration_seconds", Help: "Time from a pull run's begin to its end.",
			Buckets: []float64{.1, .5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800}}, environmentLabels),
	}
	info := prometheus.NewGauge(prometheus.GaugeOpts{Name: "bizzscim_build_info", Help: "Always 1; the labels say what runs.",
		ConstLabels: prometheus.Labels{"version": version, "go": runtime.Version()}})
	info.Set(1)
	m.registry.MustRegister(m.requests, m.seconds, m.runs, m.took, info,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "bizzscim_store_commits_total", Help: "Durable commits since start."},
			func() float64 { return float64(stats().Commits) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "bizzscim_store_updates_total", Help: "Changes that those commits carried."},
			func() float64 { return float64(stats().Updates) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "bizzscim_store_bytes", Help: "Size of the data on disk."},
			func() float64 { return float64(stats().Bytes) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "bizzscim_ready", Help: "1 while /readyz answers 200."},
			func() float64 { return oneIf(ready()) }))
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

// pullEnded counts a run that has ended.
func (a *App) pullEnded(run *directory.Run) {
	m := a.metrics
	if m == nil {
		return
	}
	name := ""
	_ = a.service.View(context.Background(), func(sn *directory.Snapshot) error { // without its name a run counts all the same
		name = newNames(sn).environment(run.EnvironmentID).Name
		return nil
	})
	m.runs.WithLabelValues(run.EnvironmentID.String(), name, string(run.State)).Inc()
	m.took.WithLabelValues(run.EnvironmentID.String(), name).Observe(run.Ended.Sub(run.Started).Seconds())
}

// pullMetrics reads, whenever the metrics are, how the pulls and their credentials are.
type pullMetrics struct {
	pull    *pull.Reconciler
	service *directory.Service
	now     func() time.Time

	age, quarantined, overdue, failures, drift, people *prometheus.Desc // by environment
	expires                                            *prometheus.Desc // by tenant
	requests, retries, pages, units, waits             *prometheus.Desc
}

// watchPull adds the metrics of the pull.
func (m *metrics) watchPull(p *pull.Reconciler, service *directory.Service, now func() time.Time) {
	of := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("bizzscim_pull_"+name, help, environmentLabels, nil)
	}
	graph := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("bizzscim_graph_"+name, help, nil, nil)
	}
	m.registry.MustRegister(&pullMetrics{pull: p, service: service, now: now,
		age:         of("last_success_age_seconds", "Time since the last pull that succeeded; none before the first."),
		quarantined: of("quarantined", "1 while a run waits for a decision."),
		overdue:     of("overdue", "1 while no pull has succeeded for three intervals."),
		failures:    of("failures", "Runs that failed since the last one that did not."),
		drift:       of("drift", "People whom the last run found other than the directory says."),
		people:      of("people", "People whom the last run found in the Groups to Sync."),
		expires: prometheus.NewDesc("bizzscim_credential_expires_timestamp_seconds", "When a credential ends, in Unix time; none where that is not known.",
			[]string{"tenant_id", "tenant"}, nil),
		requests: graph("requests_total", "Requests to Microsoft Graph."),
		retries:  graph("retries_total", "Requests to Microsoft Graph that were sent again."),
		pages:    graph("pages_total", "Pages read from Microsoft Graph."),
		units:    graph("resource_units_total", "Resource units, as Microsoft Graph counted them."),
		waits:    graph("waits_total", "Waits before a request was sent again: throttling and errors."),
	})
}

// Describe sends nothing: which metrics there are depends on the environments.
func (c *pullMetrics) Describe(chan<- *prometheus.Desc) {}

// Collect reads the state of now.
func (c *pullMetrics) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	counter := func(d *prometheus.Desc, n int) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n))
	}
	all, err := c.pull.Status(context.Background())
	if err != nil {
		out <- prometheus.NewInvalidMetric(c.quarantined, err)
		return
	}
	for i := range all {
		s := &all[i]
		labels := []string{s.Environment.ID.String(), s.Environment.Name}
		if last := s.State.LastSuccess; !last.IsZero() {
			gauge(c.age, c.now().Sub(last).Seconds(), labels...)
		}
		gauge(c.quarantined, oneIf(!s.State.Quarantined.IsZero()), labels...)
		gauge(c.overdue, oneIf(s.Late), labels...)
		gauge(c.failures, float64(s.State.Failures), labels...)
		if s.Last != nil {
			gauge(c.drift, float64(s.Last.Counts.Drift()), labels...)
			gauge(c.people, float64(s.Last.Counts.People), labels...)
		}
	}
	m, waits := c.pull.Totals()
	counter(c.requests, m.Requests)
	counter(c.retries, m.Retries)
	counter(c.pages, m.Pages)
	counter(c.units, m.Units)
	counter(c.waits, waits)
	err = c.service.View(context.Background(), func(sn *directory.Snapshot) error {
		credentials, err := sn.Credentials()
		n := newNames(sn)
		for _, x := range credentials {
			if !x.Expires.IsZero() {
				t := n.tenant(x.TenantID)
				gauge(c.expires, float64(x.Expires.Unix()), t.ID, t.Name)
			}
		}
		return err
	})
	if err != nil {
		out <- prometheus.NewInvalidMetric(c.expires, err)
	}
}

func oneIf(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

func (m *metrics) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{}))
	return mux
}
