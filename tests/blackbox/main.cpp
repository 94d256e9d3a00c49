// millrace-black-box: a real broker and real clients, on a network and a disk of their own, with a fault every few seconds; what the clients saw is judged by the
// checker of the simulator. The seed draws the faults and what clients choose; what the machine does in between is not in its hands.
#include <CLI/CLI.hpp>
#include <iostream>

#include "tests/blackbox/faults.hpp"
#include "tests/blackbox/report.hpp"
#include "tests/blackbox/world.hpp"

namespace millrace::blackbox {
namespace {

constexpr int exit_skipped = 77;  // what ctest takes for "skipped"

struct options {
    double minutes = 1;
    std::uint64_t seed = 1;
    std::string only;
    std::string report;
};

std::string names_of_faults() {
    std::string names;
    for (const auto& k : fault_kinds()) names += (names.empty() ? "" : "; ") + std::string(k.name);
    return names;
}

/// Why there can be no such run here; empty: there can.
std::string what_is_missing() {
    try {
        const process::small_disk disk(16u << 20);
        network wires(0);
        const host one(wires, 1);
        return {};
    } catch (const std::exception& e) {
        return e.what();
    }
}

int run(const options& o) {
    if (const auto missing = what_is_missing(); !missing.empty()) {
        std::cout << "skipped: " << missing << '\n';
        return exit_skipped;
    }
    world w(o.seed, o.minutes);
    w.begin();
    faults trouble(w, o.seed + 1, o.only);
    trouble.run(std::chrono::duration_cast<milliseconds>(std::chrono::duration<double, std::ratio<60>>(o.minutes)));
    const auto took = w.finish();
    const outcome shown{o.seed, trouble.marks(), took, w.told(), w.wires().packets()};
    print_report(std::cout, shown);
    if (!o.report.empty()) write_page(o.report, shown);
    if (w.told().convicted()) std::cout << "the broker said:\n" << w.broker().last_words();
    return w.told().convicted() ? 1 : 0;
}

}  // namespace
}  // namespace millrace::blackbox

int main(int argc, char** argv) {
    using namespace millrace::blackbox;
    options o;
    CLI::App app("Breaks a broker and its network for some minutes and checks that every promise is kept", "millrace-black-box");
    app.add_option("--minutes", o.minutes, "how long there are faults")->capture_default_str();
    app.add_option("--seed", o.seed, "of the faults, and of what clients choose")->capture_default_str();
    app.add_option("--report", o.report, "a file for the report as an HTML page");
    app.add_option("--only", o.only, "faults with this regular expression in their name, of: " + names_of_faults());
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& e) {
        return app.exit(e) == 0 ? 0 : 2;
    }
    std::cout << "seed " << o.seed << std::endl;
    try {
        return run(o);
    } catch (const std::exception& e) {
        std::cerr << "millrace-black-box: " << e.what() << '\n';
        return 1;
    }
}
