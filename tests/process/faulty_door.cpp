// Stands where the C library's accept() does in millraced-faulty, see faulty_store.cpp.
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

extern "C" int accept(int listening, sockaddr* from, socklen_t* length) {
    const int connected = ::accept4(listening, from, length, 0);
    const char* faults = std::getenv("MILLRACE_FAULTS");
    if (connected < 0 || !faults || ::unlink((std::string(faults) + "/abort-accept").c_str()) != 0) return connected;
    ::close(connected);
    errno = ECONNABORTED;
    return -1;
}
