// Room on the disk: when publishing shuts, when it opens, and how much can be taken between two looks.
#include "broker/driver/space_gate.hpp"

#include <catch2/catch.hpp>
#include <random>

namespace millrace::driver {
namespace {

constexpr std::uint64_t mebibyte = 1u << 20;
constexpr std::uint64_t reserve = 64 * mebibyte;

storage::disk_space disk(std::uint64_t free_mib) { return {free_mib * mebibyte, reserve}; }

}  // namespace

TEST_CASE("a gate is open until somebody looks, and always where there is no reserve") {
    space_gate gate;
    CHECK(gate.admits(1u << 30));
    CHECK_FALSE(gate.wants_look());
    gate.look({0, 0}, 1u << 30);
    CHECK(gate.admits(1u << 30));
}

TEST_CASE("it shuts below the reserve and opens a quarter above it") {
    space_gate gate;
    gate.look(disk(64), 0);
    CHECK(gate.is_open());
    gate.look(disk(63), 0);
    CHECK_FALSE(gate.is_open());
    CHECK_FALSE(gate.admits(0));
    gate.look(disk(79), 0);
    CHECK_FALSE(gate.is_open());
    gate.look(disk(80), 0);
    CHECK(gate.is_open());
    gate.look(disk(64), 0);
    CHECK(gate.is_open());
}

TEST_CASE("what is taken and not written yet counts twice: in the log, and where it goes from there") {
    space_gate gate;
    gate.look(disk(72), 4 * mebibyte);
    CHECK(gate.is_open());
    gate.look(disk(72), 4 * mebibyte + 1);
    CHECK_FALSE(gate.is_open());
}

TEST_CASE("between two looks no more is taken than there is, and a look is asked for in time") {
    space_gate gate;
    gate.look(disk(96), 0);  // 32 above the reserve, and a sixteenth of it: 36, at twice the price
    CHECK(gate.admits(18 * mebibyte));
    gate.took(9 * mebibyte - 1);
    CHECK_FALSE(gate.wants_look());
    gate.took(1);
    CHECK(gate.wants_look());
    CHECK(gate.admits(9 * mebibyte));
    CHECK_FALSE(gate.admits(9 * mebibyte + 1));
    CHECK_FALSE(gate.admits(1));  // shut is shut, until somebody looks
    CHECK_FALSE(gate.wants_look());
    gate.look(disk(88), 0);
    CHECK(gate.admits(1));
}

TEST_CASE("what is moved may take the reserve down to its half") {
    space_gate gate;
    CHECK(gate.admits_move(1u << 30));
    gate.look({0, 0}, 1u << 30);
    CHECK(gate.admits_move(1u << 30));
    gate.look(disk(48), 4 * mebibyte);  // 8 above the half
    CHECK_FALSE(gate.is_open());
    CHECK(gate.admits_move(4 * mebibyte));
    CHECK_FALSE(gate.admits_move(4 * mebibyte + 1));
    gate.took(4 * mebibyte - 1);
    CHECK(gate.admits_move(1));
    CHECK_FALSE(gate.admits_move(2));
    gate.look(disk(32), 0);
    CHECK_FALSE(gate.admits_move(0));
    gate.look(disk(33), 0);
    CHECK(gate.admits_move(0));
}

TEST_CASE("a refusal says what is free, what is kept, and what to do") {
    space_gate gate;
    gate.look(disk(63), 0);
    const auto refused = gate.refusal();
    CHECK(refused.code == errc::disk_full);
    for (const auto* words : {"63 MiB", "64 MiB", "80 MiB", "--disk-reserve", "consume"}) CHECK(refused.what.find(words) != std::string::npos);
}

// A disk to which everything is written late and twice, and a gate that is asked before each message and looks only when it must, or by chance.
TEST_CASE("the reserve stays, whatever comes and however late it is written") {
    const auto seed = GENERATE(range(1u, 41u));
    std::mt19937 random(seed);
    space_gate gate;
    std::uint64_t free = reserve + random() % (512 * mebibyte);
    std::uint64_t unwritten = 0;
    std::uint64_t refused = 0;
    const auto look = [&] { gate.look({free, reserve}, unwritten); };
    look();
    for (int i = 0; i < 5'000; ++i) {
        const auto bytes = random() % (random() % 50 == 0 ? 8 * mebibyte : 256u << 10);
        if (gate.admits(bytes)) {
            gate.took(bytes);
            unwritten += bytes;
        } else {
            ++refused;
        }
        if (random() % 4 == 0) {  // a commit
            const auto written = random() % (unwritten + 1);
            unwritten -= written;
            free -= std::min(free, 2 * written);
        }
        if (gate.wants_look() || random() % 1'000 == 0) look();
        REQUIRE(free - 2 * unwritten + reserve / 16 >= reserve);
    }
    CHECK(refused > 0);
}

}  // namespace millrace::driver
