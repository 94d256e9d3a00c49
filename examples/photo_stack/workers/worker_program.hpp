// What each worker program is: a handler for uploaded photos, until SIGTERM; then what has begun is finished.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <vector>

#include "examples/photo_stack/photos/photo_messages.hpp"
#include "examples/photo_stack/spans/span.hpp"
#include "millrace/client_types.hpp"
#include "millrace/worker.hpp"

namespace photo_workers {

/// Returns when the work is done, which is that span. What it throws is a failed attempt, after which the photo comes again.
using handler = std::function<void(millrace::client::connection& broker, const photo_stack::uploaded_photo& photo, const photo_spans::span_context& span)>;

/// The options of every worker program: which broker, and who it is to that.
void add_broker_options(CLI::App& app, millrace::client::connection_settings& settings);

/// Takes the photos that the subscription gives. The program's exit code.
int run_worker(const millrace::client::connection_settings& settings, const std::string& subscription, const handler& work);

/// On a worker's thread: returns when all of them are durable, or throws std::runtime_error.
void publish_results(millrace::client::connection& broker, const std::vector<photo_stack::size_result>& results, const photo_spans::span_context& span);

}  // namespace photo_workers
