// photo-producer DIR: publishes one job for each file under DIR, follows the workers' results with a progress bar, and checks every one of them.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <map>
#include <set>
#include <thread>

#include "examples/photo_workers/jobs.hpp"
#include "millrace/client.hpp"

namespace {

namespace asio = boost::asio;
namespace fs = std::filesystem;
namespace client = millrace::client;
constexpr auto awaiting = asio::as_tuple(asio::use_awaitable);

struct run {
    client::connection broker;
    std::vector<std::string> photos;
    std::size_t published = 0;
    std::map<std::string, photos::finished_job> done;
    std::map<std::string, std::string> dead;  // photo → reason
    std::vector<std::string> redelivered;     // what was done again, and why it is known
    std::string failure;
    bool closing = false;

    bool complete() const { return published == photos.size() && done.size() + dead.size() == photos.size(); }
    bool over() const { return complete() || !failure.empty(); }
};

struct failed : std::runtime_error {
    using std::runtime_error::runtime_error;
};

void require(const boost::system::error_code& ec, const std::string& refusal, const char* what, millrace::errc accepted = millrace::errc::ok) {
    if (!ec || (accepted != millrace::errc::ok && ec == millrace::make_error_code(accepted))) return;
    throw failed(std::string(what) + ": " + ec.message() + (refusal.empty() ? "" : ": " + refusal));
}

asio::awaitable<void> make_topics(run& r) {
    for (const auto& name : {photos::jobs_topic, photos::done_topic, photos::dead_topic}) {
        client::topic_settings settings;
        auto [ec, made] = co_await r.broker.async_create_topic(name, settings, awaiting);
        require(ec, made.refusal, "create topic", millrace::errc::topic_exists);
    }
    for (const auto& topic : {photos::jobs_topic, photos::done_topic, photos::dead_topic}) {
        client::subscription_settings settings;
        if (topic == photos::jobs_topic) settings.dead_letter = photos::dead_topic;
        const auto& name = topic == photos::jobs_topic ? photos::workers_subscription : photos::producer_subscription;
        auto [ec, made] = co_await r.broker.async_create_subscription(topic, name, settings, client::start_position{}, awaiting);
        require(ec, made.refusal, "create subscription", millrace::errc::subscription_exists);
    }
}

void show_progress(const run& r) {
    constexpr std::size_t width = 40;
    const auto total = std::max<std::size_t>(r.photos.size(), 1);
    const auto settled = r.done.size() + r.dead.size();
    if (!isatty(STDERR_FILENO)) {
        if (settled % 10 == 0 || settled == r.photos.size()) std::fprintf(stderr, "%zu of %zu photos\n", settled, r.photos.size());
        return;
    }
    const auto filled = settled * width / total;
    std::fprintf(stderr, "\r[%s%s] %zu/%zu  %zu dead ", std::string(filled, '#').c_str(), std::string(width - filled, '.').c_str(), settled,
                 r.photos.size(), r.dead.size());
    if (settled == r.photos.size()) std::fputc('\n', stderr);
}

void note_done(run& r, const client::delivery& d) {
    auto job = photos::finished_job_from(d.message.payload);
    if (job.attempt > 1) r.redelivered.push_back(job.photo + " was given " + std::to_string(job.attempt) + " times");
    const auto [it, first] = r.done.emplace(job.photo, job);
    if (!first) r.redelivered.push_back(job.photo + " was reported done by " + it->second.worker + " and by " + job.worker);
}

void note_dead(run& r, const client::delivery& d) {
    r.dead.emplace(d.message.payload, d.origin ? d.origin->reason : "for an unknown reason");
}

asio::awaitable<void> follow(run& r, std::string topic, void (*note)(run&, const client::delivery&)) {
    client::subscribe_options options;
    auto [ec, consumer] = co_await r.broker.async_subscribe(topic, photos::producer_subscription, options, awaiting);
    require(ec, consumer.refusal(), "subscribe");
    while (!r.over()) {
        auto [failed_receive, got] = co_await consumer.async_receive(awaiting);
        if (r.over()) co_return;
        require(failed_receive, got.refusal, "receive");
        for (const auto& d : got.deliveries) {
            note(r, d);
            consumer.ack(d);
        }
        co_await consumer.async_settle(awaiting);
        show_progress(r);
    }
}

asio::awaitable<void> publish(run& r) {
    for (const auto& photo : r.photos) {
        millrace::message job;
        job.key = photo;
        job.payload = photo;
        auto [ec, receipt] = co_await r.broker.async_publish(photos::jobs_topic, std::move(job), awaiting);
        require(ec, receipt.refusal, "publish");
        ++r.published;
    }
}

void note_failure(run& r, std::exception_ptr thrown) {
    if (!thrown || r.over()) return;
    try {
        std::rethrow_exception(thrown);
    } catch (const std::exception& e) {
        r.failure = e.what();
    }
}

/// Closes the connection when the run is complete, or with the first failure: then everybody who still waits for something ends.
void spawn(asio::io_context& io, run& r, asio::awaitable<void> task) {
    asio::co_spawn(io, std::move(task), [&r](std::exception_ptr thrown) {
        note_failure(r, thrown);
        if (r.over() && !std::exchange(r.closing, true)) r.broker.async_close([](const boost::system::error_code&, const client::done&) {});
    });
}

asio::awaitable<void> work(asio::io_context& io, run& r) {
    auto [ec, greeting] = co_await r.broker.async_connect(awaiting);
    require(ec, greeting.refusal, "connect");
    co_await make_topics(r);
    spawn(io, r, publish(r));
    spawn(io, r, follow(r, photos::done_topic, note_done));
    spawn(io, r, follow(r, photos::dead_topic, note_dead));
}

std::vector<std::string> files_under(const fs::path& directory) {
    std::vector<std::string> found;
    for (const auto& entry : fs::recursive_directory_iterator(directory, fs::directory_options::skip_permission_denied))
        if (entry.is_regular_file()) found.push_back(fs::absolute(entry.path()).lexically_normal().string());
    std::sort(found.begin(), found.end());
    return found;
}

int report(const run& r, double seconds) {
    std::vector<std::string> wrong;
    std::size_t files = 0;
    for (const auto& [photo, job] : r.done) {
        auto problems = photos::check_renditions(photo, job.renditions);
        files += job.renditions.size();
        wrong.insert(wrong.end(), problems.begin(), problems.end());
    }
    std::map<std::string, int> by_worker;
    for (const auto& [photo, job] : r.done) ++by_worker[job.worker];
    std::printf("\nphotos in      %zu\nphotos done    %zu\nphotos dead    %zu\nin = done + dead  %s\n", r.photos.size(), r.done.size(), r.dead.size(),
                r.complete() ? "yes" : "NO");
    for (const auto& [photo, reason] : r.dead) std::printf("  dead: %s: %s\n", fs::path(photo).filename().c_str(), reason.c_str());
    for (const auto& [worker, count] : by_worker) std::printf("  worker %s: %d photos\n", worker.c_str(), count);
    std::printf("redelivered    %zu\n", r.redelivered.size());
    for (const auto& line : r.redelivered) std::printf("  %s\n", line.c_str());
    std::printf("renditions     %zu decoded and checked (dimensions, upright, no metadata): %zu wrong\n", files, wrong.size());
    for (const auto& line : wrong) std::printf("  wrong: %s\n", line.c_str());
    std::printf("seconds        %.1f\n", seconds);
    return r.complete() && wrong.empty() ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
    std::string directory;
    client::connection_settings settings;
    CLI::App app("Publishes the photographs of a folder to the workers, and checks what they make of them", "photo-producer");
    app.add_option("DIR", directory, "folder with photographs, searched with all its folders")->required()->check(CLI::ExistingDirectory);
    app.add_option("--server", settings.server, "HOST:PORT of the broker")->capture_default_str()->envname("MILLRACE_SERVER");
    app.add_option("--token", settings.token, "who this is to a broker that asks")->envname("MILLRACE_TOKEN");
    app.add_option("--token-file", settings.token_file, "a file with the token, which is read instead");
    CLI11_PARSE(app, argc, argv);
    photos::start_imaging("photo-producer");

    asio::io_context io(1);
    run r{client::connection(io.get_executor(), settings), files_under(directory), 0, {}, {}, {}, {}, false};
    if (r.photos.empty()) {
        std::cerr << "photo-producer: there are no files under " << directory << '\n';
        return 1;
    }
    const auto began = std::chrono::steady_clock::now();
    spawn(io, r, work(io, r));
    io.run();
    if (!r.failure.empty()) {
        std::cerr << "photo-producer: " << r.failure << '\n';
        return 1;
    }
    return report(r, std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count());
}
