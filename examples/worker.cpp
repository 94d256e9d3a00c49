// Works on the jobs that example_publish publishes, four at a time, until SIGINT or SIGTERM; then finishes what it has begun.
#include <iostream>

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>

#include "millrace/worker.hpp"

using namespace millrace::client;

outcome make_thumbnail(const delivery& job) {
    const auto& photo = job.message.payload;
    if (!photo.ends_with(".jpg")) return outcome::reject("'" + photo + "' is no photo");  // hopeless: to the dead letters
    std::cout << "a thumbnail of " + photo + "\n" << std::flush;                         // an exception here is a failed attempt
    return outcome::ack();
}

int main() {
    boost::asio::io_context context(1);
    connection broker(context.get_executor(), {.server = "127.0.0.1:7070", .name = "thumbnails"});
    worker thumbnails(broker, "photos", "resize", {.concurrency = 4}, make_thumbnail);
    boost::asio::signal_set signals(context, SIGINT, SIGTERM);
    signals.async_wait([&](boost::system::error_code, int) { thumbnails.drain(), signals.clear(); });
    int status = 0;
    const auto stopped = [&](boost::system::error_code failed, const std::string& why) {
        if (failed) std::cerr << "cannot work: " << failed.message() << ": " << why << '\n', status = 1;
        context.stop();
    };
    broker.async_connect([&](boost::system::error_code failed, broker_description d) {
        if (failed) return stopped(failed, d.refusal);
        thumbnails.async_run([&](boost::system::error_code ended, worker_report r) { stopped(ended, r.refusal); });
    });
    context.run();
    return status;
}
