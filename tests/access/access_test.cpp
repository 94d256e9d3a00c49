// The file of tokens: what it may say, what is refused and how, and whose token is whose.
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

#include "broker/access.hpp"

namespace millrace {
namespace {

using Catch::Matchers::Contains;

const std::string token_a = "aaaaaaaaaaaaaaaaaaaaaaaa";
const std::string token_b = "bbbbbbbbbbbbbbbbbbbbbbbb";

access_list parsed(const std::string& text) {
    auto list = access_list::parse(text, "tokens");
    INFO((list ? "" : list.failure().what));
    REQUIRE(list);
    return list.value();
}

/// What is wrong with the file: it names the place, and never repeats a token.
std::string refusal(const std::string& text) {
    const auto list = access_list::parse(text, "tokens");
    REQUIRE(!list);
    CHECK(list.failure().code == errc::invalid_argument);
    CHECK_THAT(list.failure().what, !Contains(token_a) && !Contains(token_b));
    return list.failure().what;
}

std::string hex(const token_digest& digest) {
    std::string out;
    for (const auto byte : digest) {
        out += "0123456789abcdef"[byte >> 4];
        out += "0123456789abcdef"[byte & 15];
    }
    return out;
}

struct scratch_file {
    std::string path = "/tmp/millrace-access-" + std::to_string(::getpid());

    scratch_file(const std::string& text, mode_t mode) {
        std::ofstream(path) << text;
        REQUIRE(::chmod(path.c_str(), mode) == 0);
    }
    ~scratch_file() { std::filesystem::remove(path); }
};

}  // namespace

TEST_CASE("a digest is the SHA-256 of the token's bytes") {
    CHECK(hex(digest_of("abc")) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    CHECK(hex(digest_of("")) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST_CASE("a token leads to its name and rights, plain or hashed") {
    const auto list = parsed("# who may what\n\n  web  publish  " + token_a + "  # the web tier\r\nworkers\tpublish,consume\tsha256:" + hex(digest_of(token_b)) + "\n");
    CHECK(list.size() == 2);
    CHECK(list.holds_plain_tokens());
    CHECK(list.find(token_a) == caller{"web", {.publish = true}});
    CHECK(list.find(token_b) == caller{"workers", {.publish = true, .consume = true}});
    CHECK(!list.find(""));
    CHECK(!list.find(token_a.substr(1)));
    CHECK(!list.find(token_a + "a"));
    CHECK(!list.find("sha256:" + hex(digest_of(token_b))));  // what stands in the file is not what opens the door
    CHECK(!list.find(hex(digest_of(token_b))));
}

TEST_CASE("hashes may be written in capitals, and no plain token stands there then") {
    auto digits = hex(digest_of(token_a));
    for (auto& c : digits) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    const auto list = parsed("web none sha256:" + digits);
    CHECK(!list.holds_plain_tokens());
    CHECK(list.find(token_a) == caller{"web", {}});
}

TEST_CASE("one name has two tokens while one replaces the other") {
    const auto list = parsed("web publish " + token_a + "\nweb publish " + token_b + "\n");
    CHECK(list.find(token_a) == list.find(token_b));
}

TEST_CASE("no right implies another") {
    const rights admin{.admin = true};
    CHECK(admin.allow(right::admin));
    CHECK(admin.allow(right::look));
    CHECK(!admin.allow(right::publish));
    CHECK(!admin.allow(right::consume));
    CHECK(rights{}.allow(right::look));
    CHECK(admin.cover({}));
    CHECK(admin.cover(admin));
    CHECK(!admin.cover({.publish = true}));
    CHECK(rights{true, true, true}.cover(admin));
    CHECK(to_string(rights{}) == "none");
    CHECK(to_string(rights{true, true, true}) == "publish,consume,admin");
}

TEST_CASE("a file that is wrong is refused with its line and what to do") {
    CHECK_THAT(refusal(""), Contains("tokens names nobody") && Contains("NAME RIGHTS TOKEN"));
    CHECK_THAT(refusal("# nothing\n\n"), Contains("names nobody"));
    CHECK_THAT(refusal("# first\nweb publish\n"), Contains("tokens, line 2: there is no token") && Contains("openssl rand"));
    CHECK_THAT(refusal("web\n"), Contains("line 1: the word '' is no right"));
    CHECK_THAT(refusal("web publish,fly " + token_a), Contains("'fly' is no right") && Contains("publish, consume and admin"));
    CHECK_THAT(refusal("web publish, " + token_a), Contains("'' is no right"));
    CHECK_THAT(refusal("web Publish " + token_a), Contains("'Publish' is no right"));
    // refusal() sees to it that no token is repeated: here one stands where a right or a name should, for that was forgotten.
    CHECK_THAT(refusal("web " + token_a), Contains("is no right: a line is NAME RIGHTS TOKEN"));
    CHECK_THAT(refusal("web publish," + token_a), Contains("is no right"));
    CHECK_THAT(refusal(token_a + "= publish"), Contains("the name of "));
    CHECK_THAT(refusal("w/b publish " + token_a), Contains("the name 'w/b'"));
    CHECK_THAT(refusal(std::string(256, 'x') + " publish " + token_a), Contains("longer than 255"));
    CHECK_THAT(refusal("web publish short"), Contains("the token has 5 characters") && Contains("16 to 255"));
    CHECK_THAT(refusal("web publish " + std::string(256, 'x')), Contains("256 characters"));
    CHECK_THAT(refusal("web publish " + token_a + "\xc3\xa4"), Contains("printable ASCII"));
    CHECK_THAT(refusal("web publish sha256:0123"), Contains("not 64 hexadecimal digits") && Contains("sha256sum"));
    CHECK_THAT(refusal("web publish sha256:" + std::string(64, 'g')), Contains("not 64 hexadecimal digits"));
    CHECK_THAT(refusal("web publish " + token_a + " " + token_b), Contains("more follows the token"));
    CHECK_THAT(refusal("web publish " + token_a + "\nworkers consume sha256:" + hex(digest_of(token_a))),
               Contains("line 2: the token of 'workers' is also one of 'web'"));
}

TEST_CASE("a file that others may change, or whose tokens they may read, is refused") {
    const auto plain = "web publish " + token_a + "\n";
    const auto hashed = "web publish sha256:" + hex(digest_of(token_a)) + "\n";
    const auto read = [](const std::string& text, mode_t mode) {
        const scratch_file file(text, mode);
        const auto list = access_list::read(file.path);
        return list ? std::string() : list.failure().what;
    };
    CHECK(read(plain, 0600) == "");
    CHECK(read(plain, 0640) == "");
    CHECK(read(hashed, 0644) == "");
    CHECK_THAT(read(plain, 0644), Contains("everybody on this machine may read") && Contains("chmod o-r") && Contains("sha256:HEX"));
    CHECK_THAT(read(plain, 0602), Contains("may be changed by everybody") && Contains("chmod o-w"));
    CHECK_THAT(read(hashed, 0646), Contains("may be changed by everybody"));
}

TEST_CASE("what is no file is refused with the system's reason") {
    const auto refused = [](const std::string& path) {
        const auto list = access_list::read(path);
        REQUIRE(!list);
        return list.failure().what;
    };
    CHECK_THAT(refused("/no/such/file"), Contains("/no/such/file cannot be read: No such file or directory"));
    CHECK_THAT(refused("/tmp"), Contains("it is no regular file"));
    CHECK_THAT(refused("/dev/zero"), Contains("it is no regular file"));
    const scratch_file long_file(std::string(5u << 20, '#'), 0600);
    CHECK_THAT(refused(long_file.path), Contains("it is longer than"));
}

TEST_CASE("refusals say what to do") {
    CHECK(unknown_token("").code == errc::unauthorized);
    CHECK_THAT(unknown_token("").what, Contains("wants a token") && Contains("MILLRACE_TOKEN"));
    CHECK_THAT(unknown_token(token_a).what, Contains("does not know the token") && !Contains(token_a));
    const auto refused = missing_right({"web", {.publish = true}}, right::admin, "CreateTopic");
    CHECK(refused.code == errc::forbidden);
    CHECK(refused.what == "CreateTopic needs the right admin, and the token of 'web' has publish");
}

}  // namespace millrace
