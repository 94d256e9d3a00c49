// photo-worker DIR: takes jobs from the topic of photographs, makes the renditions in DIR, and says so. SIGTERM finishes what has begun; another one ends it.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/use_future.hpp>
#include <filesystem>
#include <future>
#include <iostream>
#include <syncstream>

#include "examples/photo_workers/jobs.hpp"
#include "millrace/client.hpp"
#include "millrace/worker.hpp"

namespace {

namespace asio = boost::asio;
namespace client = millrace::client;

/// On a thread of the worker. The result is published, durably, before the job is acked: a crash between the two repeats the job, and loses nothing.
client::outcome process(client::connection& broker, const std::string& directory, const std::string& name, const client::delivery& job) {
    photos::finished_job finished{job.message.payload, job.attempt, name, {}};
    try {
        finished.renditions = photos::make_renditions(finished.photo, directory);
    } catch (const photos::unusable& why) {
        return client::outcome::reject(why.what());
    }
    millrace::message done;
    done.key = finished.photo;
    done.payload = photos::to_text(finished);
    std::promise<boost::system::error_code> published;
    asio::post(broker.get_executor(), [&] {
        broker.async_publish(photos::done_topic, std::move(done), [&](const boost::system::error_code& ec, const client::receipt&) { published.set_value(ec); });
    });
    if (const auto ec = published.get_future().get()) return client::outcome::nack("cannot publish the result: " + ec.message());
    return client::outcome::ack();
}

}  // namespace

int main(int argc, char** argv) {
    std::string directory;
    client::connection_settings settings;
    client::worker_options options;
    options.name = "worker-" + std::to_string(getpid());
    CLI::App app("Makes renditions of photographs", "photo-worker");
    app.add_option("DIR", directory, "where renditions go; made if missing")->required();
    app.add_option("--server", settings.server, "HOST:PORT of the broker")->capture_default_str()->envname("MILLRACE_SERVER");
    app.add_option("--token", settings.token, "who this is to a broker that asks")->envname("MILLRACE_TOKEN");
    app.add_option("--token-file", settings.token_file, "a file with the token, which is read instead");
    app.add_option("--concurrency", options.concurrency, "photographs at a time")->capture_default_str()->check(CLI::PositiveNumber);
    app.add_option("--name", options.name, "for people")->capture_default_str();
    CLI11_PARSE(app, argc, argv);
    photos::start_imaging("photo-worker");
    std::filesystem::create_directories(directory);

    asio::io_context io(1);
    client::connection broker(io.get_executor(), settings);
    client::worker worker(broker, photos::jobs_topic, photos::workers_subscription, options,
                          [&](const client::delivery& job) { return process(broker, directory, options.name, job); });
    asio::signal_set signals(io, SIGINT, SIGTERM);
    signals.async_wait([&](const boost::system::error_code& ec, int) {
        if (ec) return;
        signals.clear();
        worker.drain();
    });
    int code = 0;
    broker.async_connect([&](const boost::system::error_code& refused, const client::broker_description& greeting) {
        if (refused) {
            std::cerr << "photo-worker: " << refused.message() << ": " << greeting.refusal << '\n';
            code = 1;
            return io.stop();
        }
        worker.async_run([&](const boost::system::error_code& ended, const client::worker_report& report) {
            std::osyncstream(std::cerr) << options.name << ": " << report.acked << " done, " << report.rejected << " rejected, " << report.nacked << " failed\n";
            if (ended) std::cerr << "photo-worker: " << ended.message() << ": " << report.refusal << '\n';
            code = ended ? 1 : 0;
            io.stop();
        });
    });
    io.run();
    return code;
}
