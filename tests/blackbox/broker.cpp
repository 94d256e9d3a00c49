#include "tests/blackbox/broker.hpp"

namespace millrace::blackbox {

broker_under_test::~broker_under_test() {
    host_.run([&] { process_.reset(); });
}

std::vector<std::string> broker_under_test::arguments() const {
    return {"--store", disk_.store(), "--listen", listen_, "--admin", "none", "--insecure"};
}

void broker_under_test::start() {
    host_.run([&] {
        process_.emplace(arguments());
        listen_ = process_->address();
        is_asked_to_end_ = false;
    });
}

void broker_under_test::start_and_kill(process::milliseconds after) {
    host_.run([&] {
        process::child_process started(MILLRACED_PATH, arguments());
        if (!started.wait(after)) started.kill();
    });
}

void broker_under_test::kill() {
    host_.run([&] {
        is_asked_to_end_ = true;
        process_->kill();
    });
}

int broker_under_test::stop() {
    return host_.run([&] {
        is_asked_to_end_ = true;
        return process_->stop();
    });
}

void broker_under_test::send(int signal) {
    host_.run([&] { process_->process().send(signal); });
}

std::optional<int> broker_under_test::ended_unasked() {
    return host_.run([&]() -> std::optional<int> {
        if (is_asked_to_end_) return {};
        return process_->process().wait(process::milliseconds{0});
    });
}

std::string broker_under_test::last_words() {
    constexpr std::size_t enough = 6'000;
    auto words = host_.run([&] { return process_ ? process_->process().errors() : std::string(); });
    return words.size() > enough ? "…" + words.substr(words.size() - enough) : words;
}

}  // namespace millrace::blackbox
