#include "examples/photo_stack/web/request_log.hpp"

#include <prometheus/counter.h>
#include <prometheus/exposer.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <spdlog/spdlog.h>

#include "examples/photo_stack/web/routes.hpp"

namespace photo_web {

namespace {

const prometheus::Histogram::BucketBoundaries seconds_buckets{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10};

std::string method_of(const visit& v) { return std::string(boost::beast::http::to_string(v.method)); }

std::string route_of(const visit& v) { return v.to == nullptr ? "none" : v.to->path; }

}  // namespace

class request_log::metrics {
public:
    explicit metrics(const std::string& address) : exposer_(address, 1) { exposer_.RegisterCollectable(registry_); }

    void count(const visit& v, unsigned status, double seconds) {
        const auto method = v.to == nullptr ? "none" : method_of(v);
        requests_.Add({{"route", route_of(v)}, {"method", method}, {"status", std::to_string(status)}}).Increment();
        seconds_.Add({{"route", route_of(v)}, {"method", method}}, seconds_buckets).Observe(seconds);
    }

private:
    std::shared_ptr<prometheus::Registry> registry_ = std::make_shared<prometheus::Registry>();
    prometheus::Exposer exposer_;
    prometheus::Family<prometheus::Counter>& requests_ =
        prometheus::BuildCounter().Name("photo_web_requests_total").Help("Requests answered, by route, method and status").Register(*registry_);
    prometheus::Family<prometheus::Histogram>& seconds_ = prometheus::BuildHistogram()
                                                              .Name("photo_web_request_seconds")
                                                              .Help("From a request's first byte until its answer was taken")
                                                              .Register(*registry_);
};

request_log::request_log(const std::string& metrics_address) : metrics_(metrics_address.empty() ? nullptr : std::make_unique<metrics>(metrics_address)) {}

request_log::~request_log() = default;

void request_log::finished(const visit& v, unsigned status, const photo_spans::span& span) {
    const auto took = std::chrono::duration<double>(photo_spans::span::clock::now() - span.begun());
    if (metrics_) metrics_->count(v, status, took.count());
    spdlog::info("{}", span.line(method_of(v) + " " + route_of(v),
                                 {{"status", std::to_string(status)}, {"client", v.client}, {"target", v.target}, {"user", v.who ? v.who->name : "-"}}));
}

}  // namespace photo_web
