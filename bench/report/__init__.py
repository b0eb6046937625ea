"""Statistics, tables, figures and leaderboard pages made from stored rows."""
