// What each worker program is: a handler for messages about photos, until SIGTERM; then what has begun is finished.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <vector>

#include "examples/photo_stack/photos/photo_messages.hpp"
#include "examples/photo_stack/spans/span.hpp"
#include "millrace/client_types.hpp"
#include "millrace/worker.hpp"

namespace photo_workers {

/// Returns when the work is done, which is that span. What it throws is a failed attempt, after which the message comes again.
template <class Message>
using handler = std::function<void(millrace::client::connection& broker, const Message& message, const photo_spans::span_context& span)>;

/// The options of every worker program: which broker, and who it is to that. Returns the first one, which is required.
CLI::Option* add_broker_options(CLI::App& app, millrace::client::connection_settings& settings);

/// Takes what the subscription gives, of one of the kinds of messages that have a photo. The program's exit code.
template <class Message>
int run_worker(const millrace::client::connection_settings& settings, const std::string& topic, const std::string& subscription, const handler<Message>& work);

extern template int run_worker(const millrace::client::connection_settings&, const std::string&, const std::string&, const handler<photo_stack::uploaded_photo>&);
extern template int run_worker(const millrace::client::connection_settings&, const std::string&, const std::string&, const handler<photo_stack::store_repair>&);

/// On a worker's thread: returns when all of them are durable, or throws std::runtime_error.
void publish_results(millrace::client::connection& broker, const std::vector<photo_stack::size_result>& results, const photo_spans::span_context& span);

}  // namespace photo_workers
