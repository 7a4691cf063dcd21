"""Who waits behind whom: those who send much behind each other."""

import queue
import threading

import pytest

from app.fair_queue import A_FEW, FairQueue, Places, Whose


def taken(jobs: FairQueue[str]) -> list[str]:
    found = []
    while not jobs.empty():
        found.append(jobs.get_nowait())
    return found


def test_clients_take_turns() -> None:
    jobs = FairQueue[str]()
    for number in range(4):
        jobs.put(Whose("flood", f"192.0.2.{number}"), f"flood {number}")
    jobs.put(Whose("shop", "198.51.100.1"), "shop")
    assert taken(jobs) == ["flood 0", "shop", "flood 1", "flood 2", "flood 3"]


def test_addresses_of_one_client_take_turns() -> None:
    jobs = FairQueue[str]()
    for number in range(3):
        jobs.put(Whose("shop", "192.0.2.1"), f"flood {number}")
    jobs.put(Whose("shop", "198.51.100.1"), "somebody")
    assert taken(jobs) == ["flood 0", "somebody", "flood 1", "flood 2"]


def test_one_address_is_served_in_its_order_and_nothing_is_lost() -> None:
    jobs = FairQueue[int]()
    senders = [(Whose(f"client {c}", f"address {a}"), c * 10 + a) for c in range(3) for a in range(3)]
    for at in range(5):
        for whose, number in senders:
            jobs.put(whose, number * 100 + at)
    found = [jobs.get_nowait() for _ in range(45)]
    assert sorted(found) == sorted(number * 100 + at for _, number in senders for at in range(5))
    for _, number in senders:
        assert [each % 100 for each in found if each // 100 == number] == [0, 1, 2, 3, 4]
    with pytest.raises(queue.Empty):
        jobs.get_nowait()


def test_whoever_waits_for_work_is_woken() -> None:
    jobs, found = FairQueue[int](), list[int]()
    threads = [threading.Thread(target=lambda: found.append(jobs.get())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(3):
        jobs.put(Whose("shop", ""), number)
    for thread in threads:
        thread.join(5)
    assert sorted(found) == [0, 1, 2]


def filled(places: Places, whose: Whose) -> int:
    count = 0
    while places.take(whose):
        count += 1
    return count


def test_a_flood_from_one_address_leaves_room_for_others_of_its_client() -> None:
    places = Places(64)
    assert filled(places, Whose("shop", "192.0.2.1")) == 48
    assert filled(places, Whose("shop", "198.51.100.1")) == A_FEW
    places.give_back(Whose("shop", "192.0.2.1"))
    assert places.take(Whose("shop", "203.0.113.1"))


def test_a_flood_of_one_client_from_everywhere_leaves_room_for_other_clients() -> None:
    places = Places(64)
    count = sum(places.take(Whose("flood", f"address {number}")) for number in range(200))
    assert count == 56
    assert filled(places, Whose("shop", "198.51.100.1")) == 8
    for number in range(200):
        if places._held[Whose("flood", f"address {number}")]:
            places.give_back(Whose("flood", f"address {number}"))
    for _ in range(8):
        places.give_back(Whose("shop", "198.51.100.1"))
    assert not places._held and not places._held_by_client and places._free == 64
