#include "client/token_file.hpp"

#include <catch2/catch.hpp>
#include <fstream>

#include "tests/scratch_directory.hpp"

using namespace millrace;
using namespace millrace::client;

TEST_CASE("a token file has one token, with or without blanks around it") {
    const scratch_directory scratch;
    const auto path = (scratch.path() / "token").string();
    const auto read = [&](const std::string& content) {
        std::ofstream(path, std::ios::binary) << content;
        return read_token_file(path);
    };
    for (const auto* content : {"sesame", "sesame\n", " \t\r\nsesame\r\n", "\n\nsesame "}) CHECK(read(content).value() == "sesame");
    CHECK(read(std::string(4096, 'x')).value() == std::string(4096, 'x'));
    CHECK(read(std::string(4097, 'x')).failure().what.find("is longer than 4096 bytes") != std::string::npos);
    for (const auto* content : {"", "\n", " \t"}) CHECK(read(content).failure().what.find("is empty") != std::string::npos);
    CHECK(read("open sesame").failure().what.find("has more than one word") != std::string::npos);
    CHECK(read_token_file(path + ".none").failure().what.find("cannot be read") != std::string::npos);
    CHECK(read("open sesame").failure().code == errc::invalid_argument);
}
