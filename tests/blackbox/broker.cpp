#include "tests/blackbox/broker.hpp"

namespace millrace::blackbox {

broker_under_test::~broker_under_test() {
    host_.run([&] { process_.reset(); });
}

void broker_under_test::start() {
    host_.run([&] {
        process_.emplace(std::vector<std::string>{"--store", disk_.store(), "--listen", listen_, "--admin", "none", "--insecure"});
        listen_ = process_->address();
    });
}

void broker_under_test::kill() {
    host_.run([&] { process_->kill(); });
}

int broker_under_test::stop() {
    return host_.run([&] { return process_->stop(); });
}

void broker_under_test::send(int signal) {
    host_.run([&] { process_->process().send(signal); });
}

std::optional<int> broker_under_test::ended() {
    return host_.run([&] { return process_->process().wait(process::milliseconds{0}); });
}

std::string broker_under_test::last_words() {
    constexpr std::size_t enough = 6'000;
    auto words = host_.run([&] { return process_ ? process_->process().errors() : std::string(); });
    return words.size() > enough ? "…" + words.substr(words.size() - enough) : words;
}

}  // namespace millrace::blackbox
