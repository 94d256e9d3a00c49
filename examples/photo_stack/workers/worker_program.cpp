#include "examples/photo_stack/workers/worker_program.hpp"

#include <spdlog/spdlog.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <future>
#include <stdexcept>

#include "examples/photo_stack/spans/message_trace.hpp"

namespace photo_workers {

namespace asio = boost::asio;
namespace client = millrace::client;

namespace {

template <class Message>
client::outcome process(client::connection& broker, const std::string& subscription, const handler<Message>& work, const client::delivery& delivery) {
    Message message;
    try {
        message = Message::from_text(delivery.message.payload);
    } catch (const std::runtime_error& why) {
        return client::outcome::reject(why.what());
    }
    photo_spans::span span;
    if (const auto publisher = photo_spans::trace_of(delivery.message)) span.continue_trace(*publisher);
    const auto tell = [&](const std::string& outcome) {
        spdlog::info("{}", span.line("work for " + subscription, {{"photo", std::to_string(message.photo)}, {"attempt", std::to_string(delivery.attempt)}, {"outcome", outcome}}));
    };
    try {
        work(broker, message, span.context());
    } catch (const std::exception& why) {
        tell(why.what());
        throw;
    }
    tell("done");
    return client::outcome::ack();
}

int run_deliveries(const client::connection_settings& settings, const std::string& topic, const std::string& subscription,
                   const std::function<client::outcome(client::connection&, const client::delivery&)>& work) {
    spdlog::flush_on(spdlog::level::info);
    asio::io_context io(1);
    client::connection broker(io.get_executor(), settings);
    client::worker worker(broker, topic, subscription, {.name = settings.name}, [&](const client::delivery& job) { return work(broker, job); });
    asio::signal_set signals(io, SIGINT, SIGTERM);
    signals.async_wait([&](const boost::system::error_code& ec, int) {
        if (ec) return;
        signals.clear();
        worker.drain();
    });
    int code = 0;
    const auto end = [&](const boost::system::error_code& why, const std::string& refusal) {
        if (why) spdlog::error("{} {}", why.message(), refusal);
        code = why ? 1 : 0;  // whoever keeps the program alive starts it again
        io.stop();
    };
    broker.async_connect([&](const boost::system::error_code& refused, const client::broker_description& greeting) {
        if (refused) return end(refused, greeting.refusal);
        spdlog::info("takes what '{}' gives", subscription);
        worker.async_run([&](const boost::system::error_code& ended, const client::worker_report& report) {
            spdlog::info("{} done, {} rejected, {} failed, {} too late", report.acked, report.rejected, report.nacked, report.lost);
            end(ended, report.refusal);
        });
    });
    io.run();
    return code;
}

}  // namespace

CLI::Option* add_broker_options(CLI::App& app, client::connection_settings& settings) {
    auto* broker = app.add_option("--broker", settings.server, "HOST:PORT of Millrace")->required();
    app.add_option("--broker-token-file", settings.token_file, "who this is to the broker");
    app.add_option("--name", settings.name, "for people")->capture_default_str();
    return broker;
}

template <class Message>
int run_worker(const client::connection_settings& settings, const std::string& topic, const std::string& subscription, const handler<Message>& work) {
    return run_deliveries(settings, topic, subscription, [&](client::connection& broker, const client::delivery& job) { return process(broker, subscription, work, job); });
}

template int run_worker(const client::connection_settings&, const std::string&, const std::string&, const handler<photo_stack::uploaded_photo>&);
template int run_worker(const client::connection_settings&, const std::string&, const std::string&, const handler<photo_stack::store_repair>&);

void publish_results(client::connection& broker, const std::vector<photo_stack::size_result>& results, const photo_spans::span_context& span) {
    std::promise<std::string> answered;
    auto unanswered = results.size();
    std::string fault;
    asio::post(broker.get_executor(), [&] {
        for (const auto& result : results) {
            millrace::message m{.key = std::to_string(result.photo), .payload = result.to_text()};
            photo_spans::set_trace(m, span);
            broker.async_publish(photo_stack::results_topic, std::move(m), [&](const boost::system::error_code& failed, const client::receipt& r) {
                if (failed) fault = failed.message() + ": " + r.refusal;
                if (--unanswered == 0) answered.set_value(fault);
            });
        }
    });
    const auto refused = answered.get_future().get();
    if (!refused.empty()) throw std::runtime_error("cannot publish results: " + refused);
}

}  // namespace photo_workers
