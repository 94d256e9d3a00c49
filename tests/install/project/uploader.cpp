// What a stranger writes who has nothing but the installed files. Usage: uploader HOST:PORT
#include <iostream>

#include <millrace/blocking_client.hpp>
#include <millrace/client.hpp>
#include <millrace/units.hpp>
#include <millrace/worker.hpp>

int main(int, char** arguments) {
    millrace::client::connection_settings settings;
    settings.server = arguments[1];
    settings.compression = millrace::client::payload_compression::zstd;
    millrace::client::blocking_client broker(settings);
    millrace::message photo{.key = "cat", .payload = std::string(2'000, 'x')};
    std::cout << "sequence " << broker.publish("photos", photo).sequence.value << '\n';
}
