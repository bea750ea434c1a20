//! kart: checkpointed tasks from plain functions.
