#include "tests/blackbox/broker.hpp"

#include <filesystem>
#include <fstream>

namespace millrace::blackbox {
namespace {

#ifdef MILLRACE_WALL_CLOCK_PATH
constexpr const char* wall_clock = MILLRACE_WALL_CLOCK_PATH;
#else
constexpr const char* wall_clock = "";
#endif

}  // namespace

broker_under_test::broker_under_test(host& on, process::small_disk& disk) : host_(on), disk_(disk), listen_(on.address() + ":0") {
    set_clock(std::chrono::seconds{0});
    std::filesystem::create_directory(faults());
}

broker_under_test::~broker_under_test() {
    host_.run([&] { process_.reset(); });
}

std::vector<std::string> broker_under_test::arguments() const {
    return {"--store", disk_.store(), "--listen", listen_, "--admin", "none", "--insecure"};
}

std::vector<std::string> broker_under_test::command() const {
    std::vector<std::string> all{"/usr/bin/env", "MILLRACE_FAULTS=" + faults().string(), "MILLRACE_WALL_CLOCK=" + clock_file().string()};
    if (has_clock()) all.push_back(std::string("LD_PRELOAD=") + wall_clock);
    all.push_back(program());
    const auto more = arguments();
    all.insert(all.end(), more.begin(), more.end());
    return all;
}

bool broker_under_test::has_clock() const { return *wall_clock != '\0'; }

void broker_under_test::set_clock(std::chrono::seconds ahead) {
    clock_ = ahead;
    const std::chrono::nanoseconds nanoseconds = ahead;
    const auto count = nanoseconds.count();
    std::fstream file(clock_file(), std::filesystem::exists(clock_file()) ? std::ios::in | std::ios::out : std::ios::out);  // as it is mapped: in place
    file.write(reinterpret_cast<const char*>(&count), sizeof count);
}

void broker_under_test::start() {
    host_.run([&] {
        ++lives_;
        const auto words = command();
        process_.emplace(std::vector<std::string>(words.begin() + 1, words.end()), words.front());
        clock_at_start_ = clock_;
        listen_ = process_->address();
        is_asked_to_end_ = false;
    });
}

void broker_under_test::start_and_kill(process::milliseconds after) {
    host_.run([&] {
        const auto words = command();
        process::child_process started(words.front(), {words.begin() + 1, words.end()});
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

void broker_under_test::expect_end() {
    host_.run([&] { is_asked_to_end_ = true; });
}

std::optional<int> broker_under_test::wait_for_end(process::milliseconds at_most) {
    return host_.run([&] { return process_->process().wait(at_most); });
}

void broker_under_test::fail_once(const std::string& fault) { std::ofstream(faults() / fault) << '1'; }

bool broker_under_test::has_struck(const std::string& fault) const { return !std::filesystem::exists(faults() / fault); }

void broker_under_test::slow_down(process::milliseconds each) {
    if (each.count() == 0) std::filesystem::remove(faults() / "slow");
    else std::ofstream(faults() / "slow") << each.count();
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
