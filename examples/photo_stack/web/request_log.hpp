// What is kept of a request that was answered: a line of the log, which is its span, and its share in what Prometheus asks for.
//
//   photo_web_requests_total{route="/photos/:",method="GET",status="200"}      photo_web_request_seconds{route=…,method=…}, a histogram
#pragma once

#include <memory>
#include <string>

#include "examples/photo_stack/spans/span.hpp"
#include "examples/photo_stack/web/visit.hpp"

namespace photo_web {

class request_log {
public:
    /// `metrics`: HOST:PORT where Prometheus finds them, by a thread of their own; empty for nowhere. Throws when that cannot be listened to.
    explicit request_log(const std::string& metrics);
    ~request_log();

    /// Until the answer was taken. The route is told by its pattern, and what no route has by one word, so that strangers do not make up series.
    void finished(const visit& v, unsigned status, const photo_spans::span& span);

private:
    class metrics;

    std::unique_ptr<metrics> metrics_;
};

}  // namespace photo_web
