/* Clients that wait for their answers: users of a closed loop, and sessions. A client has a session at hand
 * where the workload is of sessions; a user of a closed loop begins the next one when it sends. */
#include "internal.h"
#include "tandem/check.h"
#include "tandem/mem.h"

int64_t workload_users(const struct workload *workload)
{
    return workload->dialogues.count > 0 ? workload->dialogues.count : workload->arrivals.users;
}

int64_t workload_think_ns(const struct workload *workload, uint64_t index)
{
    CHECK(workload->arrivals.users > 0, "think times belong to closed loops");
    return think_ns(&workload->arrivals.think, workload->seed, 0, index);
}

static bool has_turn(const struct session *session)
{
    return session->turn < session->turns;
}

/* A number for a new client, whose session has no turn yet. */
static uint32_t new_client(struct workload *workload)
{
    if (workload->free_count > 0)
        return workload->free_clients[--workload->free_count];
    if (workload->session_count == workload->session_capacity)
        workload->sessions = mem_grow(workload->sessions, &workload->session_capacity,
                                      workload->session_count + 1, sizeof *workload->sessions);
    workload->sessions[workload->session_count] = (struct session){0};
    return (uint32_t)workload->session_count++;
}

static void free_client(struct workload *workload, uint32_t client)
{
    if (workload->free_count == workload->free_capacity)
        workload->free_clients = mem_grow(workload->free_clients, &workload->free_capacity,
                                          workload->free_count + 1, sizeof *workload->free_clients);
    workload->free_clients[workload->free_count++] = client;
}

static void begin_session(struct workload *workload, uint32_t client)
{
    workload->sessions[client] = dialogues_begin(&workload->dialogues, workload->sessions_begun++);
}

bool workload_next_client(struct workload *workload, uint32_t *client, int64_t *send_ns)
{
    const struct dialogues *dialogues = &workload->dialogues;
    int64_t users = dialogues->count > 0 ? dialogues->arrivals.users : workload->arrivals.users;
    *send_ns = 0;
    if (workload->clients_come == (users > 0 ? users : dialogues->count))
        return false;
    *client = dialogues->count > 0 ? new_client(workload) : (uint32_t)workload->clients_come;
    if (users == 0) {
        workload->before_ns = arrivals_time_ns(&dialogues->arrivals, workload->seed, workload->clients_come,
                                               workload->before_ns);
        *send_ns = workload_scaled(workload, workload->before_ns);
        begin_session(workload, *client);
    }
    workload->clients_come++;
    return true;
}

bool workload_next_of(struct workload *workload, uint32_t client, struct workload_request *request)
{
    struct dialogues *dialogues = &workload->dialogues;
    if (dialogues->count == 0)
        return workload_next(workload, request);
    if (!has_turn(&workload->sessions[client])) {
        if (workload->sessions_begun == dialogues->count)
            return false;
        begin_session(workload, client);
    }
    dialogues_turn(dialogues, &workload->sessions[client], request);
    workload_finish(workload, request);
    return true;
}

bool workload_turn_left(struct workload *workload, uint32_t client, struct workload_request *request)
{
    return workload->dialogues.count > 0 && has_turn(&workload->sessions[client]) &&
           workload_next_of(workload, client, request);
}

bool workload_answered(struct workload *workload, uint32_t client, int64_t *time_ns)
{
    const struct dialogues *dialogues = &workload->dialogues;
    if (dialogues->count == 0) {
        *time_ns = workload_think_ns(workload, workload->thinks++);
        return true;
    }
    if (!has_turn(&workload->sessions[client]) && dialogues->arrivals.users == 0) {
        free_client(workload, client);
        return false;
    }
    *time_ns = dialogues_think_ns(dialogues, &workload->sessions[client]);
    return true;
}
