// Holds any Asio completion handler for void(error_code, T) until its operation is over: move-only, without an allocation when the handler
// is small. boost::asio::any_completion_handler allocates each time; at a million publishes a second that is the largest single cost.
#pragma once

#include <cstddef>
#include <cstring>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/append.hpp>
#include <boost/asio/associated_allocator.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/prefer.hpp>
#include <boost/asio/recycling_allocator.hpp>
#include <boost/system/error_code.hpp>

namespace millrace::client {

template <class T>
class completion {
public:
    static constexpr std::size_t inline_bytes = 48;

    completion() noexcept = default;

    /// `home`: the executor that operator() will be called on. A handler that is bound to another one is dispatched there, and keeps it alive.
    template <class Handler>
        requires(!std::is_same_v<std::decay_t<Handler>, completion>)
    completion(Handler&& handler, const boost::asio::any_io_executor& home) {
        using kept = std::decay_t<Handler>;
        if constexpr (!is_bound<kept>) {
            hold<here<kept>>(std::forward<Handler>(handler));
        } else {
            boost::asio::any_io_executor bound = boost::asio::get_associated_executor(handler, home);
            if (bound == home) {
                hold<here<kept>>(std::forward<Handler>(handler));
            } else {
                hold<elsewhere<kept>>(std::forward<Handler>(handler),
                                      boost::asio::prefer(bound, boost::asio::execution::outstanding_work.tracked));
            }
        }
    }

    completion(completion&& other) noexcept { take(other); }
    completion& operator=(completion&& other) noexcept {
        if (this != &other) {
            reset();
            take(other);
        }
        return *this;
    }
    ~completion() { reset(); }

    explicit operator bool() const noexcept { return kind_ != nullptr; }

    /// Completes the operation, once: afterwards this is empty, also when the handler throws. Requires: not empty.
    void operator()(boost::system::error_code failed, T result) {
        const auto* kind = std::exchange(kind_, nullptr);
        kind->complete(storage_, failed, std::move(result));
    }

private:
    struct operations {
        void (*complete)(void* storage, boost::system::error_code, T&&);
        void (*relocate)(void* from, void* to) noexcept;  // null: its bytes are copied
        void (*destroy)(void* storage) noexcept;
    };

    struct unbound {};
    template <class Handler>
    static constexpr bool is_bound = !std::is_same_v<typename boost::asio::associated_executor<Handler, unbound>::type, unbound>;

    template <class Handler>
    struct here {
        Handler handler;

        void complete(boost::system::error_code failed, T&& result) { std::move(handler)(failed, std::move(result)); }
    };

    template <class Handler>
    struct elsewhere {
        Handler handler;
        boost::asio::any_io_executor executor;

        void complete(boost::system::error_code failed, T&& result) {
            boost::asio::dispatch(executor, boost::asio::append(std::move(handler), failed, std::move(result)));
        }
    };

    template <class Held>
    static constexpr bool fits = sizeof(Held) <= inline_bytes && alignof(Held) <= alignof(std::max_align_t) &&
                                 std::is_nothrow_move_constructible_v<Held>;

    // Both ways move the handler out and give its memory back before it runs, as Asio promises to handlers.
    template <class Held>
    struct in_place {
        static Held& at(void* storage) noexcept { return *std::launder(static_cast<Held*>(storage)); }
        static void complete(void* storage, boost::system::error_code failed, T&& result) {
            Held held(std::move(at(storage)));
            at(storage).~Held();
            held.complete(failed, std::move(result));
        }
        static void relocate(void* from, void* to) noexcept {
            ::new (to) Held(std::move(at(from)));
            at(from).~Held();
        }
        static void destroy(void* storage) noexcept { at(storage).~Held(); }
        static constexpr operations table{complete, std::is_trivially_copyable_v<Held> ? nullptr : relocate, destroy};
    };

    template <class Held>
    struct allocated {
        static auto allocator_of(const Held& held) {
            auto own = boost::asio::get_associated_allocator(held.handler, boost::asio::recycling_allocator<void>());
            return typename std::allocator_traits<decltype(own)>::template rebind_alloc<Held>(own);
        }
        static Held*& at(void* storage) noexcept { return *std::launder(static_cast<Held**>(storage)); }
        static void release(Held* held) noexcept {
            auto allocator = allocator_of(*held);
            held->~Held();
            std::allocator_traits<decltype(allocator)>::deallocate(allocator, held, 1);
        }
        static void complete(void* storage, boost::system::error_code failed, T&& result) {
            Held held(std::move(*at(storage)));
            release(at(storage));
            held.complete(failed, std::move(result));
        }
        static void destroy(void* storage) noexcept { release(at(storage)); }
        static constexpr operations table{complete, nullptr, destroy};
    };

    template <class Held, class... Parts>
    void hold(Parts&&... parts) {
        if constexpr (fits<Held>) {
            ::new (static_cast<void*>(storage_)) Held{std::forward<Parts>(parts)...};
            kind_ = &in_place<Held>::table;
        } else {
            Held held{std::forward<Parts>(parts)...};
            auto allocator = allocated<Held>::allocator_of(held);
            Held* room = std::allocator_traits<decltype(allocator)>::allocate(allocator, 1);
            ::new (static_cast<void*>(storage_)) Held*(::new (static_cast<void*>(room)) Held(std::move(held)));
            kind_ = &allocated<Held>::table;
        }
    }

    void take(completion& other) noexcept {
        kind_ = std::exchange(other.kind_, nullptr);
        if (!kind_) return;
        if (kind_->relocate)
            kind_->relocate(other.storage_, storage_);
        else
            std::memcpy(storage_, other.storage_, inline_bytes);
    }

    void reset() noexcept {
        if (kind_) std::exchange(kind_, nullptr)->destroy(storage_);
    }

    alignas(std::max_align_t) std::byte storage_[inline_bytes];
    const operations* kind_ = nullptr;
};

}  // namespace millrace::client
