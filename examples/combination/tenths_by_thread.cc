// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The bank counts in tenths of a cent: each thread at its own time, in an order
// in which old and new get on with each other.

#include <chrono>
#include <mutex>
#include <vector>

#include "examples/combination/tenths.h"
#include "threads/thread_ref.h"
#include "updates/change.h"
#include "updates/mechanisms/convert.h"
#include "updates/mechanisms/new_thread.h"
#include "updates/mechanisms/redefine.h"
#include "updates/mechanisms/replace_when_held.h"
#include "updates/mechanisms/set_exposed.h"
#include "updates/mechanisms/transfer.h"
#include "updates/thread_updates.h"
#include "updates/update_module.h"

namespace bank {
namespace {

using instar::Attempt;
using instar::Redefine;
using instar::RedefineAtOnce;
using instar::Redefinitions;
using Runs = std::vector<long>;

absl::Status Describe(instar::ThreadUpdates& threads) {
  threads.When(&WhenTheBooksAreOpen);
  const instar::ChangeOptions all(instar::Stacks::kControlledThreads);
  instar::ChangeOptions movers = all;
  movers.threads = [] { return instar::ControlledThreads("mover"); };
  movers.point = "between transfers";
  instar::UpdateOptions between_transfers;
  between_transfers.point = "between transfers";
  instar::UpdateOptions at_once;  // also if it waits for something to do
  at_once.interrupt_blocking_calls = true;

  // What reads comes first: it understands both versions.
  threads.Start(Redefine(Redefinitions()
                             .Add(&Total, &NewTotal)
                             .Add(&IsAllThere, &NewIsAllThere)
                             .Add(text, &InTenths)),
                all);
  threads.Start(RedefineAtOnce(&NextLine, &NewNextLine));
  threads.Then();

  // The objects, while all that writes counts in cents still.
  instar::ClassFunctionsOptions by_number;  // where no signature shows it
  by_number.watch_also = {"bank::Take(bank::Transfer const&)",
                          "bank::Put(bank::Transfer const&)",
                          "bank::Pay(bank::Customer const&)", "bank::Total()"};
  threads.Add("auditor",
              instar::ConvertEagerly<Account, AccountV2>({}, by_number));
  threads.Start(instar::ConvertLazily<Customer, CustomerV2>());
  threads.Start(instar::ConvertProgressively<Entry, EntryV2>());
  threads.Then();

  // When it is undone: nothing writes tenths any more, and all read them.
  threads.SetUpdateFunction(
      "clerk", [](instar::UpdateContext&) { return Attempt::Done(); },
      /*undo=*/
      [](instar::UpdateContext&) {
        const std::lock_guard<std::mutex> lock(books);
        const absl::Status rounded = RoundDown();
        return rounded.ok() ? Attempt::Done() : Attempt::Failed(rounded);
      },
      at_once);
  threads.Then();

  // What writes: that of the movers when none of them carries cents.
  threads.Start(Redefine(Redefinitions()
                             .Add(&Draw, &NewDraw)
                             .Add(&Take, &NewTake)
                             .Add(&Put, &NewPut)),
                movers);
  threads.Start(Redefine(&CheckJournal, &NewCheckJournal), all);
  threads.Add(
      "mover",
      instar::SetExposed("mover", "rest", std::chrono::microseconds(200)), {},
      between_transfers);
  threads.Add(
      "clerk",
      instar::ReplaceWhenHeld(
          "clerk",
          {instar::Replacement(&PayInterest, &PayRest, &CaptureRun),
           instar::Replacement(&PayOldRest, &PayRest, &CaptureRun)},
          /*when_undone=*/
          {instar::Replacement(&NewPayInterest, &PayOldRest, &CaptureNewRun),
           instar::Replacement(&PayRest, &PayOldRest, &CaptureNewRun)}),
      {}, at_once);
  threads.Add("clerk", Redefine(&PayInterest, &NewPayInterest), {}, at_once);
  threads.Add("clerk",
              instar::TransferBothWays<Runs, Runs>("bank::runs", &tenths_runs,
                                                   &ToTenths, &ToCents),
              {}, at_once);
  threads.Reboot("auditor", instar::MainWith(&NewAuditorMain, &CaptureAudits),
                 instar::MainWith(&AuditorMain, &CaptureAudits));
  threads.Then();

  threads.Start(
      instar::NewThread("saver", instar::ThreadKind::kPassive, &SaverMain));
  return absl::OkStatus();
}

INSTAR_THREAD_UPDATES_MODULE("tenths_by_thread", Describe);
}  // namespace
}  // namespace bank
