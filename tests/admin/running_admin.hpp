// A whole broker with its admin HTTP on a thread of the test. Its store is the memory engine behind a gate, at which commits wait or fail.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "broker/admin/http_server.hpp"
#include "broker/broker_view.hpp"
#include "broker/server/broker.hpp"
#include "broker/storage/memory_store.hpp"
#include "tests/admin/http_client.hpp"
#include "tests/shards.hpp"

namespace millrace {

/// The memory engine, which a test can hold up: then commits wait, fail, and opening fails. Thread-safe.
class gated_store : public storage::store {
public:
    /// From now on commits wait until open_gate().
    void close_gate() {
        const std::lock_guard lock(mutex_);
        closed_ = true;
    }

    /// Those that wait go first.
    void open_gate() {
        const std::lock_guard lock(mutex_);
        closed_ = false;
        for (const auto& go : std::exchange(waiting_, {})) go();
    }

    std::size_t commits_waiting() {
        const std::lock_guard lock(mutex_);
        return waiting_.size();
    }

    /// The next commits fail with `commits`, and open() with `opens`, until they are set to no error.
    void fail(error commits, error opens) {
        const std::lock_guard lock(mutex_);
        commit_failure_ = std::move(commits);
        open_failure_ = std::move(opens);
    }

    durability level() const override { return engine_->level(); }

    result<core::fencing_epoch> open(core::shard_id shard) override {
        {
            const std::lock_guard lock(mutex_);
            if (open_failure_) return open_failure_;
        }
        return engine_->open(shard);
    }

    void commit(core::shard_id shard, core::fencing_epoch epoch, std::vector<core::mutation> group, commit_done done) override {
        std::unique_lock lock(mutex_);
        if (commit_failure_) {
            const auto failed = commit_failure_;
            lock.unlock();
            return done(failed);
        }
        if (closed_) {
            const auto held = std::make_shared<std::vector<core::mutation>>(std::move(group));
            waiting_.push_back([this, shard, epoch, held, done] { engine_->commit(shard, epoch, std::move(*held), done); });
            return;
        }
        lock.unlock();
        engine_->commit(shard, epoch, std::move(group), std::move(done));
    }

    result<std::vector<storage::stored_entry>> read(core::partition_id partition, sequence from, std::size_t max_bytes) override {
        return engine_->read(partition, from, max_bytes);
    }
    result<std::vector<core::row>> scan(const core::row_range& range, std::size_t limit) override { return engine_->scan(range, limit); }
    std::optional<storage::disk_space> space() override { return engine_->space(); }
    error checkpoint(const std::filesystem::path& dir) override { return engine_->checkpoint(dir); }

private:
    std::unique_ptr<storage::store> engine_ = storage::make_memory_store();
    std::mutex mutex_;
    bool closed_ = false;
    error commit_failure_, open_failure_;
    std::vector<std::function<void()>> waiting_;
};

class running_admin {
public:
    /// `tokens` as in an --auth-file; empty: nobody needs one.
    explicit running_admin(const admin::http_settings& http = {}, const std::string& tokens = {}) {
        if (!tokens.empty()) access_.emplace(access_list::parse(tokens, "tokens").value());
        server::broker_settings settings;
        settings.reopen_pause = std::chrono::milliseconds{10};
        settings.drain_timeout = std::chrono::minutes{1};
        auto opened = driver::open_shards(store_, shards_by_environment(), settings.core);
        if (!opened) throw std::runtime_error(to_string(opened.failure()));
        broker_ = std::make_unique<server::broker>(io_, std::move(opened.value()), store_, settings, now);
        view_ = std::make_unique<broker_view>(*broker_, broker_view::surroundings{"0.0.0-test", "gated:"}, now);
        pages_ = std::make_unique<admin::pages>(*view_, access_ ? &*access_ : nullptr);
        http_ = std::make_unique<admin::http_server>(io_, *pages_, http);
        const boost::asio::ip::tcp::endpoint anywhere{boost::asio::ip::address_v4::loopback(), 0};
        server_ = "127.0.0.1:" + std::to_string(bound(broker_->listen(anywhere)).port());
        admin_ = bound(http_->listen(anywhere));
        thread_ = std::thread([this] { io_.run(); });
    }

    ~running_admin() {
        store_.open_gate();
        io_.stop();
        thread_.join();
    }

    const std::string& server() const { return server_; }
    const boost::asio::ip::tcp::endpoint& admin() const { return admin_; }
    gated_store& store() { return store_; }
    boost::asio::io_context& io() { return io_; }

    /// One request on a connection of its own.
    http_answer get(const std::string& target) const { return http_client(admin_).get(target); }

    template <class F>
    auto on_loop(F f) {
        std::promise<decltype(f())> told;
        boost::asio::post(io_, [&] { told.set_value(f()); });
        return told.get_future().get();
    }

    std::size_t http_connections() {
        return on_loop([this] { return http_->connections(); });
    }

    void drain() {
        on_loop([this] {
            broker_->drain();
            return 0;
        });
    }

private:
    static timestamp now() { return std::chrono::time_point_cast<std::chrono::microseconds>(std::chrono::system_clock::now()); }

    static boost::asio::ip::tcp::endpoint bound(result<boost::asio::ip::tcp::endpoint> where) {
        if (!where) throw std::runtime_error(to_string(where.failure()));
        return where.value();
    }

    gated_store store_;
    std::optional<access_list> access_;
    boost::asio::io_context io_{1};
    std::unique_ptr<server::broker> broker_;
    std::unique_ptr<broker_view> view_;
    std::unique_ptr<admin::pages> pages_;
    std::unique_ptr<admin::http_server> http_;
    std::string server_;
    boost::asio::ip::tcp::endpoint admin_;
    std::thread thread_;
};

}  // namespace millrace
